"""Images with pseudo-labeled captions that stream from WebDataset shards."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from webdataset.tariterators import base_plus_ext

from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.odvg_records import (
    Phrases,
    clean_boxes,
    instances_of,
    merge_same_boxes,
    read_phrases,
)
from mmclip.io.parsing import parsing
from mmclip.io.records import read_jsonl
from mmclip.registry import DATASETS
from mmclip.text.captions import Caption

FILES_KEPT = 4  # a shuffle buffer holds samples of a few shards at a time
UNLABELED_IN_A_ROW = 100_000
CAPTIONS_KEPT = 1000


def labels_path(folder: Path, shard: str) -> Path:
    """Where the labels of a shard are: ``cc-00012.tar`` -> ``cc-00012.jsonl``."""
    return folder / f'{Path(shard).name.split(".")[0]}.jsonl'


@dataclass(frozen=True)
class CaptionStream:
    """The captions that a reader saw last, for :class:`mmclip.PackCaptions`.

    Args:
        captions: All of them.
        own: The sample's own caption, which is no negative.
    """

    captions: deque[Caption]
    own: str

    def draw(self, count: int, rng: np.random.RandomState) -> list[Caption]:
        """At most ``count`` captions, drawn with repetition; at the very start fewer."""
        others = [caption for caption in self.captions if caption.text != self.own]
        places = rng.randint(max(len(others), 1), size=min(count, len(others)))
        return [others[i] for i in places]


@DATASETS.register_module()
class GroundingShards(CaptionShards):
    """Samples of image-caption shards to which ``tools/pseudo_label.py`` found boxes.

    The images stay in the shards; beside them lies one ODVG file per shard, whose records name
    the sample by its shard and key (with the folders in it). Samples have ``img`` (BGR), ``text``,
    ``phrase_spans`` and ``instances`` as those of :class:`mmclip.ODVGDataset` have, so a pipeline
    starts with mmdet.LoadAnnotations. Samples without a record, or with too few boxes, are passed
    over.

    Several such sets, and others, are mixed by ``mmdet.ConcatDataset``, in which this one answers
    with its next sample whatever the index is.

    Args:
        labels: Folder of the ODVG files.
        min_score: Boxes must exceed it.
        nms_iou: Non-maximum suppression over an image's boxes; None for none.
        min_boxes: Samples with fewer are passed over.
        kwargs: See :class:`mmclip.CaptionShards`.

    Raises:
        FileNotFoundError: a shard has no labels; the message names the command.
        ValueError: no sample of the shards has a label.
    """

    def __init__(
        self,
        *,
        labels: str | Path,
        min_score: float = 0.5,
        nms_iou: float | None = None,
        min_boxes: int = 1,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.labels = Path(labels)
        self.min_score, self.nms_iou, self.min_boxes = min_score, nms_iou, min_boxes
        for shard in self.shards:
            if not labels_path(self.labels, shard).is_file():
                raise FileNotFoundError(
                    f'labels: {labels_path(self.labels, shard)} does not exist; `python '
                    f'tools/pseudo_label.py CONFIG CHECKPOINT --shards {shard} --out '
                    f'{self.labels}` makes it'
                )
        self._records: OrderedDict[str, dict[str, dict]] = OrderedDict()
        self._captions: deque[Caption] = deque(maxlen=CAPTIONS_KEPT)

    def full_init(self) -> None:
        """Nothing to do; mmdet.ConcatDataset asks for it."""

    def _of_shard(self, shard: str) -> dict[str, dict]:
        """Records of a shard by the keys of its samples."""
        if shard not in self._records:
            while len(self._records) >= FILES_KEPT:
                self._records.popitem(last=False)
            path = labels_path(self.labels, shard)
            name = f'{Path(shard).name}/'
            with parsing(path):
                self._records[shard] = {
                    base_plus_ext(record['filename'].removeprefix(name))[0]: record
                    for _, record in read_jsonl(path)
                }
        self._records.move_to_end(shard)
        return self._records[shard]

    def _record(self, sample: dict) -> dict | None:
        return self._of_shard(sample['__url__']).get(sample['__key__'])

    def _samples(self, seed: int, epoch: int) -> Iterator[dict]:
        # What is drawn from them must not depend on what another epoch has left here.
        self._captions.clear()
        passed = 0
        for sample in super()._samples(seed, epoch):
            record = self._record(sample)
            if record is None or len(self._phrases(record).boxes) < self.min_boxes:
                passed += 1
                if passed >= UNLABELED_IN_A_ROW:
                    raise ValueError(
                        f'labels: {passed} samples in a row have less than {self.min_boxes} boxes '
                        f'above {self.min_score} in {self.labels}'
                    )
                continue
            passed = 0
            yield sample

    def _phrases(self, record: dict) -> Phrases:
        with parsing(f'labels: the record of {record["filename"]} in {self.labels}'):
            content, dropped = record['grounding'], Counter()
            found = read_phrases(content['caption'], content['regions'], dropped)
            size = record['height'], record['width']
            clean_boxes(found, size, dropped, min_score=self.min_score, nms_iou=self.nms_iou)
            merge_same_boxes(found)
            return found

    def _decode(self, sample: dict) -> dict:
        decoded = super()._decode(sample)
        record = self._record(sample)
        if decoded['img_shape'] != (size := (record['height'], record['width'])):
            raise ValueError(
                f'{decoded["img_path"]} has {decoded["img_shape"]} pixels (height, width), its '
                f'labels are for {size}; delete {labels_path(self.labels, sample["__url__"])} and '
                'run tools/pseudo_label.py again'
            )
        found = self._phrases(record)
        caption = record['grounding']['caption']
        pixels = np.asarray(decoded['img'].convert('RGB'))[:, :, ::-1]
        info = dict(
            decoded,
            img=np.ascontiguousarray(pixels),
            text=caption,
            phrase_spans=found.spans,
            instances=instances_of(found),
            caption_pool=CaptionStream(self._captions, caption),
        )
        self._captions.append(Caption(caption, found.spans))
        return info


def shard_names(shards: Sequence[str]) -> list[str]:
    """Names of the shards' label files; two shards of one name would share a file.

    Raises:
        ValueError: two shards have one name.
    """
    names = [labels_path(Path(), shard).name for shard in shards]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f'shards: two of them would have their labels in {twice}; label them apart'
        )
    return names
