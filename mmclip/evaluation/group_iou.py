"""What a grouping is worth apart from the names it gets, and how it copes with many classes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmclip.evaluation.open_vocab_iou import class_areas, iou_scores
from mmclip.registry import METRICS


def oracle_labels(
    groups: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int = 255
) -> torch.Tensor:
    """Each group gets the class of most of its pixels: (H, W), (H, W) -> (H, W).

    The best that naming could do with these groups, image by image; ties go to the class that
    comes first. A group without a counted pixel is class 0.
    """
    groups, target = groups.long(), target.long()
    count = int(groups.max()) + 1 if groups.numel() else 1
    valid = target != ignore_index
    pairs = groups[valid] * num_classes + target[valid]
    overlap = torch.bincount(pairs, minlength=count * num_classes).view(count, num_classes)
    return overlap.argmax(1)[groups]


@METRICS.register_module()
class GroupIoU(BaseMetric):
    """'Groups well, classifies badly' as numbers, in per cent, for a model with ``pred_groups``.

    - ``oracle_mIoU``: the mIoU if each group had the class of most of its pixels;
    - ``mIoU_of_<n>``: mIoU over the images that show n classes (the background not counted), and
      ``oracle_mIoU_of_<n>``. An image can show at most as many classes as there are groups.

    Without groups (a control without grouping) only the ``mIoU_of_<n>`` are there.

    Args:
        ignore_index: Value of pixels that count nowhere.
        background: If the first class is called so, it is the background.
        kwargs: MMEngine's.
    """

    default_prefix = 'group'

    def __init__(
        self, *, ignore_index: int = 255, background: str = 'background', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index
        self.background = background

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        names = self.dataset_meta['classes']
        first = int(names[0] == self.background)
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data']
            target = sample['gt_sem_seg']['data'].to(prediction.device)
            present = target.unique()
            present = present[(present != self.ignore_index) & (present >= first)]
            areas = class_areas(prediction, target, len(names), self.ignore_index).cpu()
            oracle = None
            if 'pred_groups' in sample:
                labels = oracle_labels(
                    sample['pred_groups']['data'], target, len(names), self.ignore_index
                )
                oracle = class_areas(labels, target, len(names), self.ignore_index).cpu()
            self.results.append((len(present), areas, oracle))

    def compute_metrics(self, results: list) -> dict[str, float]:
        def miou(areas: list[torch.Tensor]) -> float:
            # Of the classes that are there: few images need not show all.
            total = sum(row.long() for row in areas)
            iou = iou_scores(total, 'nan')[1]
            return 100 * float(iou[total[2] > 0].mean())

        scores = {}
        kinds = {'mIoU': 1}
        if results and results[0][2] is not None:
            kinds['oracle_mIoU'] = 2
            scores['oracle_mIoU'] = miou([row[2] for row in results])
        for number in sorted({row[0] for row in results}):
            for kind, place in kinds.items():
                own = [row[place] for row in results if row[0] == number]
                scores[f'{kind}_of_{number}'] = miou(own)
        return scores
