"""A teacher grounds the noun phrases of web captions: shards of pairs to ODVG files.

One file per shard, whole or absent, that depends on nothing but its shard: any number of processes
that share the folder make the same bytes, and a run that was cut off goes on with what is missing.
A broken image is left out and counted; of a shard that is cut off nothing is written, since its
file would say that it is done.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmclip.clip.loading import file_hash
from mmclip.config_file import read_config
from mmclip.datasets.grounding_shards import labels_path, shard_names
from mmclip.datasets.odvg_writers import write_lines
from mmclip.io.image import open_image
from mmclip.io.parsing import read_json
from mmclip.io.shards import DamagedShard, read_samples
from mmclip.io.strict_loading import load_weights
from mmclip.registry import MODELS
from mmclip.stores.sharded import META, differences
from mmclip.text.captions import Caption, separate_phrases
from mmclip.text.phrases import Span

IMAGES = ('jpg', 'jpeg', 'png', 'webp')
# Steps of a test pipeline that do not apply: the image is here, and the text is a caption.
LEFT_OUT = ('LoadImage', 'LoadAnnotations', 'Grounding', 'Pack')
ALL_BROKEN = 100  # so many pairs of which none can be prepared: the pipeline is at fault


@dataclass
class Counts:
    """What became of the pairs of one or more shards."""

    pairs: int = 0
    broken: int = 0
    without_phrase: int = 0
    damaged: int = 0  # shards, whose pairs are not counted
    labeled: int = 0
    boxes: int = 0
    seconds: float = 0.0

    def add(self, other: 'Counts') -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Pair:
    """An image with its caption."""

    name: str  # shard.tar/key.jpg
    image: np.ndarray  # (H, W, 3) BGR
    caption: str
    spans: tuple[Span, ...]


class Teacher:
    """A GLIP that says where the phrases of captions are.

    Args:
        config: Of the model, a file or the name of one of mmclip's; its test pipeline is used.
        checkpoint: Its weights.
        device: Where it runs.
        allow_mismatch: Whether to go on with weights that do not fit.

    Raises:
        FileNotFoundError, ValueError: no such config or checkpoint, or weights that do not fit.
    """

    def __init__(
        self,
        config: str | os.PathLike,
        checkpoint: str | os.PathLike,
        *,
        device: str = 'cpu',
        allow_mismatch: bool = False,
    ) -> None:
        cfg = read_config(config)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        self.model = MODELS.build(cfg.model)
        load_weights(self.model, checkpoint, allow_mismatch=allow_mismatch)
        self.model.to(device).eval()
        steps = [
            step
            for step in cfg.test_dataloader.dataset.pipeline
            if not any(name in step['type'] for name in LEFT_OUT)
        ]
        self._pipeline = Compose([*steps, dict(type='mmclip.PackGroundingInputs')])
        model = json.dumps(cfg.model.to_dict(), sort_keys=True, default=str)
        pipeline = json.dumps([dict(step) for step in steps], sort_keys=True, default=str)
        digest = hashlib.sha256(f'{model}{pipeline}{file_hash(checkpoint)}'.encode())
        self.hash = digest.hexdigest()[:16]

    def prepare(self, pair: Pair) -> dict:
        """A pair as the model takes it."""
        shape = pair.image.shape[:2]
        caption = Caption(pair.caption, tuple((span,) for span in pair.spans))
        if getattr(getattr(self.model, 'text_encoder', None), 'apart', False):
            caption = separate_phrases(caption.text, caption.spans)
        return self._pipeline(
            dict(
                img=pair.image,
                img_path=pair.name,
                img_id=0,
                img_shape=shape,
                ori_shape=shape,
                scale_factor=(1.0, 1.0),
                text=caption.text,
                text_type='grounding',
                phrase_spans=[[list(span) for span in pieces] for pieces in caption.spans],
                phrase_labels=[-1] * len(pair.spans),
            )
        )

    @torch.no_grad()
    def __call__(self, batch: Sequence[dict]) -> list[tuple[np.ndarray, ...]]:
        """Boxes (M, 4) in pixels of the image, phrases (M,) and scores (M,) of each."""
        found = []
        for sample in self.model.test_step(pseudo_collate(list(batch))):
            instances = sample.pred_instances
            boxes = instances.bboxes
            boxes = boxes.tensor if hasattr(boxes, 'tensor') else boxes
            parts = (boxes, instances.labels, instances.scores)
            found.append(tuple(part.detach().cpu().numpy() for part in parts))
        return found


def read_pairs(shard: str, find: Callable[[str], Sequence[Span]], counts: Counts) -> Iterator[Pair]:
    """The pairs of a shard that have phrases, in the shard's order.

    Raises:
        DamagedShard: the archive cannot be read to its end.
    """

    def broken(error: Exception) -> bool:
        if isinstance(error, DamagedShard):
            raise error
        counts.broken += 1  # a name that comes twice
        return True

    for sample in read_samples([dict(url=shard)], handler=broken):
        counts.pairs += 1
        key = next((key for key in IMAGES if key in sample), None)
        try:
            caption = sample['txt'].decode().strip()
            image = np.asarray(open_image(sample[key]).convert('RGB'))
        except Exception:  # whatever a damaged image makes its decoder raise; no image, no text
            counts.broken += 1
            continue
        spans = tuple(dict.fromkeys(map(tuple, find(caption))))
        if not spans:
            counts.without_phrase += 1
            continue
        name = f'{Path(shard).name}/{sample["__key__"]}.{key}'
        yield Pair(name, np.ascontiguousarray(image[:, :, ::-1]), caption, spans)


def record_of(
    pair: Pair, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, min_score: float
) -> dict | None:
    """The ODVG record of a pair, best boxes first; None if no box is sure enough.

    Args:
        pair: Image and caption.
        boxes, labels, scores: What the teacher says.
        min_score: Scores must exceed it.
    """
    sure = np.flatnonzero(scores > min_score)
    sure = sure[np.argsort(-scores[sure], kind='stable')]
    regions = []
    for number in np.unique(labels[sure]).tolist():
        own = sure[labels[sure] == number]
        start, end = pair.spans[number]
        regions.append(
            dict(
                phrase=pair.caption[start:end],
                tokens_positive=[[start, end]],
                bbox=np.round(boxes[own].astype(np.float64), 2).tolist(),
                scores=np.round(scores[own].astype(np.float64), 4).tolist(),
            )
        )
    height, width = pair.image.shape[:2]
    grounding = dict(caption=pair.caption, regions=regions)
    record = dict(filename=pair.name, height=height, width=width, grounding=grounding)
    return record if regions else None


def _batches(items: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    batch: list[Pair] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def label_shard(
    shard: str,
    teacher: Teacher,
    find: Callable[[str], Sequence[Span]],
    *,
    min_score: float = 0.5,
    batch: int = 8,
    workers: int = 2,
    limit: int | None = None,
) -> tuple[list[dict], Counts]:
    """Records of a shard's pairs.

    The next batch is prepared by threads while the teacher works. Batches never cross shards. Pairs
    that cannot be prepared (an image whose short side rounds to nothing) are broken.

    Args:
        shard: Path of a tar file.
        teacher: Who says where things are.
        find: From :func:`mmclip.text.phrases.phrase_finder`.
        min_score: Scores must exceed it.
        batch: Pairs that the teacher sees at once.
        workers: Threads.
        limit: Stop after so many pairs with phrases.

    Raises:
        DamagedShard: the archive cannot be read to its end.
        ValueError: of many pairs none can be prepared.
    """
    counts, records, started = Counts(), [], time.perf_counter()
    pairs = read_pairs(shard, find, counts)
    pairs = islice(pairs, limit)
    errors: list[Exception] = []
    usable = 0
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        waiting: list[tuple[Pair, Future]] = []

        def finish() -> None:
            nonlocal usable
            ready = []
            for pair, future in waiting:
                error = future.exception()
                if isinstance(error, Exception):
                    errors.append(error)
                    if len(errors) == 1:
                        print_log(
                            f'{pair.name}: {type(error).__name__}: {error}',
                            'current',
                            logging.WARNING,
                        )
                else:
                    ready.append((pair, future.result()))
            usable += len(ready)
            if not usable and len(errors) >= ALL_BROKEN:
                raise ValueError(
                    f'shards: of {len(errors)} pairs of {shard} none can be prepared'
                ) from errors[0]
            found = teacher([sample for _, sample in ready]) if ready else []
            for (pair, _), boxes in zip(ready, found, strict=True):
                record = record_of(pair, *boxes, min_score)
                if record is not None:
                    records.append(record)
                    counts.boxes += sum(len(r['bbox']) for r in record['grounding']['regions'])

        for group in _batches(pairs, batch):
            prepared = [(pair, pool.submit(teacher.prepare, pair)) for pair in group]
            finish()
            waiting = prepared
        finish()
    counts.broken += len(errors)
    counts.labeled, counts.seconds = len(records), time.perf_counter() - started
    return records, counts


def write_meta(folder: Path, meta: dict) -> None:
    """Write how the labels of a folder are made, or compare with what is there.

    Raises:
        ValueError: the folder holds labels made otherwise; the differing fields are named.
    """
    path = folder / META
    if path.is_file():
        known = read_json(path, kind=dict, hint='delete it and the labels beside it')
        found = differences(known, meta)
        if text := ', '.join(f'{name} {a!r} not {b!r}' for name, a, b in found):
            raise ValueError(f'out: {folder} holds labels made otherwise: {text}')
        return
    write_lines(path, [meta])


def missing_shards(folder: Path, shards: Sequence[str]) -> list[int]:
    """Numbers of the shards that have no labels yet.

    Raises:
        ValueError: two shards have one name.
    """
    shard_names(shards)
    return [n for n, shard in enumerate(shards) if not labels_path(folder, shard).is_file()]


def label_shards(
    folder: Path,
    shards: Sequence[str],
    teacher: Teacher,
    find: Callable[[str], Sequence[Span]],
    *,
    place: tuple[int, int] = (0, 1),
    report: Callable[[str, Counts], None] = lambda *_: None,
    **settings,
) -> Counts:
    """Make this process's missing files.

    Args:
        folder: Of the labels; its ``meta.json`` is there already.
        shards: Paths of all shards.
        teacher, find, settings: As :func:`label_shard`.
        place: Number of this process and number of all; shard i belongs to process i mod all.
        report: Called after every shard that is labeled.

    Returns:
        Of all shards; those that are damaged are said in the log, counted and left without a file.
    """
    total = Counts()
    for number in missing_shards(folder, shards):
        if number % place[1] != place[0]:
            continue
        try:
            records, counts = label_shard(shards[number], teacher, find, **settings)
        except DamagedShard as error:
            print_log(str(error), 'current', logging.WARNING)
            total.damaged += 1
            continue
        write_lines(labels_path(folder, shards[number]), records)
        total.add(counts)
        report(shards[number], counts)
    return total
