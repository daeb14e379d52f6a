"""Average precision of LVIS and COCO, by faster-coco-eval, in chunks of categories."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from mmclip.datasets.annotation_file import BASE, NOVEL, Categories

CATEGORIES_PER_CHUNK = 64
AREAS = ('all', 'small', 'medium', 'large')
IOUS = np.linspace(0.5, 0.95, 10)


@dataclass
class PrecisionTable:
    """Precision and recall per category; -1 where a category has nothing to be found.

    Shapes: precision (10 IoUs, 101 recalls, K, 4 areas), recall (10 IoUs, K, 4 areas).
    """

    precision: np.ndarray
    recall: np.ndarray

    def ap(self, categories=slice(None), *, iou: float | None = None, area: str = 'all') -> float:
        """Mean precision over recalls, IoUs and the chosen categories; -1 if there is none."""
        return _mean(self.precision[_iou_index(iou)][..., categories, AREAS.index(area)])

    def recall_of(self, categories=slice(None), *, area: str = 'all') -> float:
        """Mean highest recall over IoUs and the chosen categories; -1 if there is none."""
        return _mean(self.recall[:, categories, AREAS.index(area)])

    def ap_per_category(self, *, iou: float | None = None) -> np.ndarray:
        """AP of each category (K,), -1 where it has nothing to be found."""
        chosen = self.precision[_iou_index(iou)][..., AREAS.index('all')]
        return np.array([_mean(chosen[..., k]) for k in range(chosen.shape[-1])])


def is_federated(images: Sequence[dict]) -> bool:
    """Whether an annotation file judges only some categories in each image, as LVIS does."""
    return any('neg_category_ids' in image for image in images)


def prepare_ground_truth(content: dict) -> COCO:
    """The evaluator's form of an annotation file.

    Annotations are numbered anew, since the evaluator takes an id of 0 for 'not matched', and
    categories without LVIS's ``frequency`` get one, since it asks for it.
    """
    return COCO(
        dict(
            images=content['images'],
            categories=[dict(dict(frequency='f'), **record) for record in content['categories']],
            annotations=[
                dict(annotation, id=index)
                for index, annotation in enumerate(content['annotations'], 1)
            ],
        )
    )


def precision_table(
    truth: COCO,
    detections: list[dict],
    *,
    category_ids: Sequence[int],
    iou_type: str,
    max_dets: int,
    federated: bool,
) -> PrecisionTable:
    """Precision and recall of detections, category by category.

    Source: COCO's and LVIS's protocols (lvis-api 0.5.3). Categories are independent, so they are
    evaluated in chunks, each on the images that concern it: the evaluator's table of all images
    times all categories (24 million entries on LVIS) is never built. LVIS's limit of detections per
    image is not applied here; do it before.

    Args:
        truth: From :func:`prepare_ground_truth`.
        detections: COCO's result records (changed in place): image_id, category_id, score and bbox
            (xywh), or segmentation (run lengths) without bbox, so that areas are those of masks.
        category_ids: Which categories, and the order of K.
        iou_type: 'bbox' or 'segm'.
        max_dets: Limit per image and category.
        federated: Drop detections of categories that an image does not judge, ignore unmatched ones
            where it is not exhaustive (LVIS).
    """
    results = truth.loadRes(detections)
    images_of = _images_by_category(truth, results)
    precisions, recalls = [], []
    for start in range(0, len(category_ids), CATEGORIES_PER_CHUNK):
        chunk = list(category_ids[start : start + CATEGORIES_PER_CHUNK])
        images = set().union(*(images_of.get(category, ()) for category in chunk))
        evaluation = COCOeval_faster(truth, results, iou_type, lvis_style=federated)
        evaluation.params.catIds = chunk
        evaluation.params.imgIds = sorted(images) or list(truth.imgs)[:1]
        evaluation.params.maxDets = [max_dets]
        evaluation.evaluate()
        evaluation.accumulate()
        # The evaluator sorts its categories.
        order = np.searchsorted(sorted(chunk), chunk)
        precisions.append(np.asarray(evaluation.eval['precision'])[..., 0][:, :, order])
        recalls.append(np.asarray(evaluation.eval['recall'])[..., 0][:, order])
    return PrecisionTable(
        precision=np.concatenate(precisions, axis=2), recall=np.concatenate(recalls, axis=1)
    )


def summarize(
    table: PrecisionTable, categories: Categories, *, max_dets: int | None = None
) -> dict[str, float]:
    """The named results of a table; the recall's name says ``max_dets`` unless that is None."""
    found = dict(
        AP=table.ap(),
        AP50=table.ap(iou=0.5),
        AP75=table.ap(iou=0.75),
        APs=table.ap(area='small'),
        APm=table.ap(area='medium'),
        APl=table.ap(area='large'),
    )
    if categories.frequencies is not None:
        frequencies = np.array(categories.frequencies)
        found |= {f'AP{f}': table.ap(frequencies == f) for f in 'rcf'}
    splits = np.array(categories.splits)
    names = [BASE, NOVEL] + sorted(set(categories.splits) - {BASE, NOVEL})
    present = [name for name in names if (splits == name).any()]
    for name in present if len(present) > 1 else ():
        found[f'AP_{name}'] = table.ap(splits == name)
        found[f'AP50_{name}'] = table.ap(splits == name, iou=0.5)
    limit = '' if max_dets is None else f'@{max_dets}'
    for area in ('all', 'small', 'medium', 'large'):
        size = '' if area == 'all' else area[0]
        found[f'AR{size}{limit}'] = table.recall_of(area=area)
    return found


def _images_by_category(truth: COCO, results: COCO) -> dict[int, set[int]]:
    images_of: dict[int, set[int]] = {}
    for source in (truth, results):
        for category, images in source.catToImgs.items():
            images_of.setdefault(category, set()).update(images)
    return images_of


def _iou_index(iou: float | None):
    return slice(None) if iou is None else int(np.argmin(np.abs(IOUS - iou)))


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0
