"""Which of the stored detections count, and the evaluator's records of those."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmclip.datasets.annotation_file import Categories
from mmclip.evaluation.result_shards import ImageDetections, distinct_images


class Selection:
    """Which of the stored detections count, decided on their scores and labels alone.

    Only image, label and score of each detection are held (16 bytes each); boxes and masks stay on
    disk until their records are asked for.
    """

    def __init__(
        self,
        folder: Path,
        content: dict,
        categories: Categories,
        federated: bool,
        source: str,
    ) -> None:
        self._folder = folder
        self._categories = categories
        row_of = {image['id']: row for row, image in enumerate(content['images'])}
        rows, places, labels, scores = [], [], [], []
        images = invalid = 0
        for image in distinct_images(folder):
            if image.image_id not in row_of:
                raise ValueError(f'the detections of image {image.image_id} are not of {source}')
            if len(image) and not 0 <= image.labels.min() <= image.labels.max() < len(
                categories.ids
            ):
                raise ValueError(
                    f'a detection of image {image.image_id} has label {image.labels.max()}, but '
                    f'there are {len(categories.ids)} classes: the vocabulary of the model is not '
                    f'that of {source}'
                )
            images += 1
            invalid += image.invalid
            rows.append(np.full(len(image), row_of[image.image_id], dtype=np.int32))
            places.append(np.arange(len(image), dtype=np.int32))
            labels.append(image.labels)
            scores.append(image.scores)
        if invalid:
            _warn(f'{invalid} detections with a NaN or infinite score or box were left out')
        if images < len(row_of):
            _warn(
                f'{images} of the {len(row_of)} images of {source} were predicted; the others '
                'count as images without detections'
            )
        empty = np.zeros(0, dtype=np.int32)
        self._rows, self._places = np.concatenate([empty, *rows]), np.concatenate([empty, *places])
        self._labels = np.concatenate([empty, *labels])
        self._scores = np.concatenate([np.zeros(0, dtype=np.float32), *scores])
        self._judged = np.ones(len(self._rows), dtype=bool)
        if federated:
            self._judged = _judged(content, categories, row_of)[self._rows, self._labels]

    def best_of_image(self, limit: int) -> np.ndarray:
        """Judged detections among the ``limit`` best of their image."""
        return (self._places < limit) & self._judged

    def best_of_class(self, limit: int) -> np.ndarray:
        """Judged detections among the ``limit`` best of their class over all images."""
        order = np.lexsort((-self._scores, self._labels))
        starts = np.searchsorted(self._labels[order], np.arange(len(self._categories.ids)))
        keep = np.zeros(len(order), dtype=bool)
        keep[order] = np.arange(len(order)) - starts[self._labels[order]] < limit
        return keep & self._judged

    def records(self, keep: np.ndarray, iou_type: str) -> tuple[list[dict], int]:
        """COCO's result records, and the highest number of them for one image and class."""
        pairs = np.unique(
            self._rows[keep].astype(np.int64) * len(self._categories.ids) + self._labels[keep],
            return_counts=True,
        )[1]
        records, start = [], 0
        for image in distinct_images(self._folder):
            part = keep[start : start + len(image)]
            records += records_of(image, part, self._categories.ids, iou_type)
            start += len(image)
        return records, int(pairs.max(initial=1))


def _judged(content: dict, categories: Categories, row_of: dict[int, int]) -> np.ndarray:
    """Whether an image judges a class (images, K): it holds one, or says that it holds none."""
    column_of = {category: column for column, category in enumerate(categories.ids)}
    judged = np.zeros((len(row_of), len(categories.ids)), dtype=bool)
    pairs = [(a['image_id'], a['category_id']) for a in content['annotations']]
    pairs += [(i['id'], c) for i in content['images'] for c in i.get('neg_category_ids', ())]
    pairs = [(row_of[i], column_of[c]) for i, c in pairs if c in column_of and i in row_of]
    if pairs:
        judged[tuple(np.array(pairs).T)] = True
    return judged


def records_of(
    image: ImageDetections, keep: np.ndarray, category_ids: Sequence[int], iou_type: str
) -> list[dict]:
    """Result records of one image; those of masks have no box, so that areas are the masks'."""
    kept = np.flatnonzero(keep)
    common = [
        dict(image_id=image.image_id, category_id=category_ids[label], score=score)
        for label, score in zip(image.labels[kept], image.scores[kept].tolist(), strict=True)
    ]
    if iou_type == 'bbox':
        boxes = image.boxes[kept].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        return [dict(c, bbox=box) for c, box in zip(common, boxes.tolist(), strict=True)]
    masks = [image.masks[index] for index in kept]
    return [
        dict(c, segmentation=dict(size=mask['size'], counts=mask['counts'].decode()))
        for c, mask in zip(common, masks, strict=True)
    ]


def _warn(message: str) -> None:
    print_log(message, logger='current', level=30)
