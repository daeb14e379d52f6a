"""mIoU and FB-IoU of the fold protocol: one class is looked for in each image."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmclip.registry import METRICS


def fold_areas(
    prediction: torch.Tensor, target: torch.Tensor, ignore_index: int = 255
) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection and union of background (row 0) and foreground (row 1), per image.

    Args:
        prediction: 0 or 1.
        target: 0, 1 or ``ignore_index``; ignored pixels count nowhere.

    Shapes:
        (B, H, W), (B, H, W) -> (2, B), (2, B), float64.
    """
    valid = target != ignore_index
    classes = torch.arange(2, device=prediction.device).view(2, 1, 1, 1)
    predicted = (prediction == classes) & valid
    wanted = (target == classes) & valid
    intersection = (predicted & wanted).flatten(2).sum(-1)
    union = (predicted | wanted).flatten(2).sum(-1)
    return intersection.double(), union.double()


def fold_scores(
    intersection: torch.Tensor, union: torch.Tensor, class_ids: Sequence[int]
) -> tuple[float, float]:
    """mIoU and FB-IoU in per cent of areas summed per class.

    mIoU is the mean over the fold's classes of the foreground's IoU, a class without pixels
    counting 0; FB-IoU the mean of background and foreground IoU of the sums over these classes.

    Source: HSNet's ``AverageMeter``, which LSeg uses; unions are at least 1.

    Shapes:
        (2, K), (2, K).
    """
    inter, union = intersection[:, list(class_ids)], union[:, list(class_ids)]
    miou = (inter[1] / union[1].clamp(min=1)).mean()
    fb_iou = (inter.sum(1) / union.sum(1).clamp(min=1)).mean()
    return 100 * float(miou), 100 * float(fb_iou)


@METRICS.register_module()
class FoldIoU(BaseMetric):
    """mIoU and FB-IoU over the classes of a fold.

    The dataset names the fold's classes in its meta information (``fold_class_ids``), each sample
    its own (``class_id``). Classes that no image asked for are listed in the log: they count 0.

    Args:
        ignore_index: Value of pixels that count nowhere.
        kwargs: MMEngine's.
    """

    default_prefix = 'fold'

    def __init__(self, *, ignore_index: int = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data']
            target = sample['gt_sem_seg']['data'].to(prediction.device)
            if prediction.shape != target.shape:
                raise ValueError(
                    f'{sample.get("img_path")}: the prediction is {tuple(prediction.shape)}, the '
                    f'mask {tuple(target.shape)}; the folds are judged in the frame of the '
                    'network: test_cfg=dict(rescale=False)'
                )
            inter, union = fold_areas(prediction, target, self.ignore_index)
            self.results.append((int(sample['class_id']), inter[:, 0].cpu(), union[:, 0].cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        class_ids = self.dataset_meta['fold_class_ids']
        count = max(max(class_ids), max((row[0] for row in results), default=0)) + 1
        index = torch.tensor([row[0] for row in results], dtype=torch.long)
        inter, union = torch.zeros(2, count).double(), torch.zeros(2, count).double()
        if results:
            inter.index_add_(1, index, torch.stack([row[1] for row in results], 1))
            union.index_add_(1, index, torch.stack([row[2] for row in results], 1))
        missing = sorted(set(class_ids) - set(index.tolist()))
        if missing:
            MMLogger.get_current_instance().warning(
                f'no image asked for {len(missing)} of {len(class_ids)} classes of the fold '
                f'({missing[:10]}); they count 0'
            )
        miou, fb_iou = fold_scores(inter, union, class_ids)
        return dict(mIoU=miou, FB_IoU=fb_iou)
