"""Where the regions of an image come from: a file of boxes, or a detector."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from safetensors.torch import load_file

from mmclip.clip.loading import file_hash
from mmclip.config_file import read_config
from mmclip.io.arrays import read_npz
from mmclip.io.parsing import damaged, finite_numbers, parsing, read_json, whole_number
from mmclip.io.strict_loading import load_weights
from mmclip.registry import MODELS

_NO_BOXES = 'boxes: {} is not a file of boxes'
_FORMS = 'see tools/precompute_regions.py --help for the forms'
Boxes = tuple[torch.Tensor, torch.Tensor]


def best_boxes(boxes: torch.Tensor, scores: torch.Tensor, limit: int, min_size: float) -> Boxes:
    """The best ``limit`` boxes with both sides above ``min_size`` pixels, best first."""
    keep = ((boxes[:, 2:] - boxes[:, :2]) > min_size).all(dim=1).nonzero()[:, 0]
    order = keep[scores[keep].argsort(descending=True, stable=True)][:limit]
    return boxes[order].float(), scores[order].float()


def _of_rows(ids: np.ndarray, images: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> dict:
    """Arrays with an image id per row -> the layout of box files."""
    order = ids.argsort(kind='stable')
    images = np.unique(images)
    starts = np.searchsorted(ids[order], images)
    offsets = np.append(starts, len(ids))
    return dict(image_ids=images, offsets=offsets, boxes=boxes[order], scores=scores[order])


def _read_json(path: Path) -> dict:
    """LVIS/COCO annotations, or a list of COCO results."""
    content = read_json(path, _NO_BOXES.format(path), hint=_FORMS)
    rows = content['annotations'] if isinstance(content, dict) else content
    try:
        ids = _integers([row['image_id'] for row in rows], 'image_id')
        boxes = _floats([row['bbox'] for row in rows], 'bbox', (len(rows), 4))
        scores = _floats([row.get('score', 1.0) for row in rows], 'score', (len(rows),))
    except Exception:
        _name_bad_row(rows)
        raise
    boxes[:, 2:] += boxes[:, :2]
    images = ids
    if isinstance(content, dict):
        images = _integers([image['id'] for image in content['images']], 'id of an image')
        if len(np.unique(images)) != len(images):
            raise ValueError('two images have one id')
        stray = set(ids.tolist()) - set(images.tolist())
        if stray:
            raise ValueError(f'annotations of images it does not list, e.g. {min(stray)}')
    return _of_rows(ids, images, boxes, scores)


def _name_bad_row(rows: list) -> None:
    for index, row in enumerate(rows):
        try:
            whole_number(row['image_id'], 'image_id')
            finite_numbers(row['bbox'], 4, 'bbox')
            finite_numbers([row.get('score', 1.0)], 1, 'score')
        except Exception as error:
            raise ValueError(str(damaged(f'entry {index}', error))) from error


def _integers(values: Any, name: str) -> np.ndarray:
    """(n,) int64; a fraction is an error, not cut off."""
    values = np.asarray(values)
    if values.size == 0:
        return np.zeros(0, np.int64)
    if values.ndim != 1 or values.dtype.kind not in 'iuf':
        raise ValueError(f'{name}: {values.dtype} of the shape {values.shape}, not whole numbers')
    with np.errstate(invalid='ignore'):
        whole = values.astype(np.int64)
    if (bad := whole != values).any():
        raise ValueError(f'{name} {values[bad][0]} is not a whole number')
    return whole


def _floats(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of a shape, finite."""
    values = np.asarray(values)
    if values.size == 0:
        values = np.zeros(shape, np.float32)
    if values.shape != shape or values.dtype.kind not in 'iuf':
        raise ValueError(f'{name}: {values.dtype} of the shape {values.shape}, not {shape}')
    if not (good := np.isfinite(values)).all():
        raise ValueError(f'{name}: row {np.argwhere(~good)[0][0]} is not finite')
    return values.astype(np.float32)


def _read(path: Path) -> dict:
    if path.suffix == '.json':
        return _read_json(path)
    if path.suffix == '.npz':
        return read_npz(path)
    if path.suffix == '.safetensors':
        return {name: value.numpy() for name, value in load_file(path).items()}
    raise ValueError('unknown ending')


class FileBoxes:
    """Boxes out of a file.

    Args:
        path: LVIS/COCO annotations or a list of COCO results (``.json``), or ``.npz`` /
            ``.safetensors`` with ``image_ids`` (n,), ``offsets`` (n + 1,), ``boxes`` (R, 4) xyxy in
            the original images' pixels and, if there are, ``scores`` (R,).
        limit: Most boxes per image; the best scored stay.
        min_size: Boxes with a side of at most so many pixels are left out.
        allow_empty: Whether images that the file does not list count as images without boxes.

    Raises:
        FileNotFoundError, ValueError: no such file; it is damaged or of another form.
    """

    kind = 'file'

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        limit: int = 300,
        min_size: float = 0,
        allow_empty: bool = False,
    ) -> None:
        self.path = Path(path)
        self.limit, self.min_size, self.allow_empty = limit, min_size, allow_empty
        if not self.path.is_file():
            raise FileNotFoundError(f'boxes: there is no file {path}')
        with parsing(_NO_BOXES.format(path), _FORMS):
            content = _read(self.path)
            offsets = _integers(content['offsets'], 'offsets')
            ids = _integers(content['image_ids'], 'image_ids')
            boxes = content['boxes']
            boxes = _floats(boxes, 'boxes', (boxes.size // 4, 4))
            scores = content.get('scores')
            scores = np.ones(len(boxes)) if scores is None else scores
            scores = _floats(scores, 'scores', (len(scores),))
            shapes = len(offsets) == len(ids) + 1 and len(scores) == len(boxes)
            if not shapes or offsets[0] != 0 or offsets[-1] != len(boxes):
                raise ValueError('image_ids, offsets, boxes and scores do not fit each other')
            if (np.diff(offsets) < 0).any():
                raise ValueError('offsets go down')
            numbers, counts = np.unique(ids, return_counts=True)
            if (counts > 1).any():
                raise ValueError(f'image id {numbers[counts > 1][0]} comes more than once')
        self._offsets = offsets
        self._boxes = torch.from_numpy(boxes)
        self._scores = torch.from_numpy(scores)
        self._rows = {int(image): row for row, image in enumerate(ids)}

    def describe(self) -> dict:
        """For the fingerprint of a store."""
        return dict(kind=self.kind, hash=file_hash(self.path))

    def check_images(self, image_ids: list[int]) -> None:
        """Raise if the file is of other images.

        Raises:
            ValueError: an image is not in the file, unless such may be empty; no image is.
        """
        lacking = [image for image in image_ids if image not in self._rows]
        if lacking and (not self.allow_empty or len(lacking) == len(image_ids)):
            raise ValueError(
                f'boxes: {self.path} has no entry for {len(lacking)} of {len(image_ids)} images, '
                f'e.g. image ids {lacking[:3]}; are these the boxes of other images? '
                '(--allow-empty takes the missing ones as images without boxes)'
            )

    def count(self, image_ids: list[int]) -> int:
        """Number of boxes of these images, before ``min_size``."""
        rows = [self._rows[image] for image in image_ids if image in self._rows]
        counts = np.diff(self._offsets)[rows] if rows else np.zeros(0, np.int64)
        return int(np.minimum(counts, self.limit).sum())

    def __call__(self, image_id: int) -> Boxes:
        """(M, 4) boxes and (M,) scores of an image, best first."""
        row = self._rows.get(image_id)
        start, end = (0, 0) if row is None else self._offsets[row : row + 2]
        return best_boxes(
            self._boxes[start:end], self._scores[start:end], self.limit, self.min_size
        )


class DetectorBoxes:
    """Proposals or detections of an MMDetection model.

    Args:
        config: Of the detector, a file or the name of one of mmclip's; its test pipeline is used.
        checkpoint: Its weights.
        limit: Most boxes per image.
        min_size: Boxes with a side of at most so many pixels are left out.
        device: Where it runs.
        output: ``'rpn'``: what the region proposal network says (of a two-stage detector, or of
            mmdet's ``RPN``); ``'detections'``: final boxes of any detector; ``'auto'``: the first
            if there is one.
        allow_mismatch: Whether to go on with weights that do not fit.

    Raises:
        FileNotFoundError: no such config or checkpoint.
        ValueError: weights that do not fit; no such output.
    """

    def __init__(
        self,
        config: str | os.PathLike,
        checkpoint: str | os.PathLike,
        *,
        limit: int = 300,
        min_size: float = 0,
        device: str = 'cpu',
        output: str = 'auto',
        allow_mismatch: bool = False,
    ) -> None:
        cfg = read_config(config)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        self.limit, self.min_size, self.device = limit, min_size, device
        self.model = MODELS.build(cfg.model)
        load_weights(self.model, checkpoint, allow_mismatch=allow_mismatch)
        self.model.to(device).eval()
        has_rpn = getattr(self.model, 'with_rpn', False)
        if output not in ('auto', 'rpn', 'detections') or (output == 'rpn' and not has_rpn):
            raise ValueError(f'output: {type(self.model).__name__} cannot give {output!r}')
        self.kind = 'rpn' if has_rpn and output != 'detections' else 'detections'
        pipeline = cfg.test_dataloader.dataset.pipeline
        pipeline = [step for step in pipeline if 'LoadAnnotations' not in step['type']]
        self._pipeline = Compose(pipeline)
        model = json.dumps(cfg.model.to_dict(), sort_keys=True, default=str)
        steps = json.dumps([dict(step) for step in pipeline], sort_keys=True, default=str)
        self._hash = hashlib.sha256(f'{model}{steps}{file_hash(checkpoint)}'.encode()).hexdigest()

    def describe(self) -> dict:
        """For the fingerprint of a store."""
        return dict(kind=self.kind, hash=self._hash[:16])

    def check_images(self, image_ids: list[int]) -> None:
        """A detector takes any image."""

    def count(self, image_ids: list[int]) -> int:
        """Most boxes that these images can have."""
        return len(image_ids) * self.limit

    @torch.no_grad()
    def detect(self, path: str | os.PathLike) -> Boxes:
        """(M, 4) boxes in the original image's pixels and (M,) scores, best first."""
        data = self._pipeline(dict(img_path=str(path), img_id=0))
        data = self.model.data_preprocessor(pseudo_collate([data]), False)
        if self.kind == 'rpn':
            features = self.model.extract_feat(data['inputs'])
            result = self.model.rpn_head.predict(features, data['data_samples'], rescale=True)[0]
        else:
            result = self.model.predict(data['inputs'], data['data_samples'])[0].pred_instances
        boxes = result.bboxes.tensor if hasattr(result.bboxes, 'tensor') else result.bboxes
        return best_boxes(boxes.cpu(), result.scores.cpu(), self.limit, self.min_size)
