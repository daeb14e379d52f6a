"""IoU of semantic segmentation over all names, and over base, novel and unseen ones apart."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS


def class_areas(
    prediction: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int
) -> torch.Tensor:
    """(3, K): intersection, predicted and wanted pixels of each class, int64.

    Pixels with ``ignore_index`` as target count nowhere.

    Shapes:
        prediction, target: any, equal.
    """
    valid = target != ignore_index
    prediction, target = prediction[valid].long(), target[valid].long()
    return torch.stack(
        [
            torch.bincount(values, minlength=num_classes)
            for values in (prediction[prediction == target], prediction, target)
        ]
    )


def iou_scores(areas: torch.Tensor, absent: str = 'zero') -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel accuracy and IoU of each class, in [0, 1].

    Args:
        areas: From :func:`class_areas`, summed.
        absent: What a class counts that is neither predicted nor wanted anywhere: ``'zero'``
            (PyTorch-Encoding, hence LSeg's figures) or ``'nan'`` (the host's IoUMetric).

    Shapes:
        (3, K) -> (), (K,), float64.
    """
    inter, predicted, wanted = areas.double()
    union = predicted + wanted - inter
    iou = inter / union.clamp(min=1)
    if absent == 'nan':
        iou[union == 0] = torch.nan
    return inter.sum() / wanted.sum().clamp(min=1), iou


@METRICS.register_module()
class OpenVocabIoU(BaseMetric):
    """Pixel accuracy, mIoU, and mIoU of each split of the names, in per cent.

    The dataset names its classes and, if it knows, the split of each
    (``metainfo['splits']``: name -> e.g. ``'base'``, ``'novel'``, ``'unseen'``): then there is an
    ``mIoU_<split>`` for each. A class that lies in no test mask is left out of a split's mean.

    Args:
        ignore_index: Value of pixels that count nowhere.
        absent: As :func:`iou_scores`, for the mean over all classes.
        kwargs: MMEngine's.

    Raises:
        ValueError: unknown ``absent``; a prediction of another size than its mask.
    """

    default_prefix = 'seg'

    def __init__(self, *, ignore_index: int = 255, absent: str = 'zero', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if absent not in ('zero', 'nan'):
            raise ValueError(f"absent: {absent!r}; allowed are 'zero' and 'nan'")
        self.ignore_index = ignore_index
        self.absent = absent

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        count = len(self.dataset_meta['classes'])
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data']
            target = sample['gt_sem_seg']['data'].to(prediction.device)
            if prediction.shape != target.shape:
                raise ValueError(
                    f'{sample.get("img_path")}: the prediction is {tuple(prediction.shape)}, the '
                    f'mask {tuple(target.shape)}'
                )
            areas = class_areas(prediction, target, count, self.ignore_index)
            self.results.append(areas.to('cpu', torch.int32))

    def compute_metrics(self, results: list) -> dict[str, float]:
        names = tuple(self.dataset_meta['classes'])
        areas = sum((row.long() for row in results), torch.zeros(3, len(names), dtype=torch.long))
        accuracy, iou = iou_scores(areas, self.absent)
        scores = dict(aAcc=100 * float(accuracy), mIoU=100 * float(iou.nanmean()))
        splits = self.dataset_meta.get('splits') or {}
        wanted = areas[2] > 0
        for split in dict.fromkeys(splits.values()):
            chosen = torch.tensor([splits.get(name) == split for name in names]) & wanted
            mean = float(iou[chosen].mean()) if chosen.any() else float('nan')
            scores[f'mIoU_{split}'] = 100 * mean
        return scores
