"""Masks of phrases: how much of what a phrase means is covered?"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS


def masks_of_phrases(masks: torch.Tensor, labels: torch.Tensor, phrases: int) -> torch.Tensor:
    """Union of the masks of each phrase.

    Shapes:
        (N, H, W) bool, (N,) int64 -> (phrases, H, W) bool.
    """
    union = torch.zeros(phrases, *masks.shape[1:], dtype=torch.uint8, device=masks.device)
    index = labels[:, None, None].expand(masks.shape)
    return union.scatter_reduce(0, index, masks.byte(), 'amax').bool()


@METRICS.register_module()
class PhraseMaskIoU(BaseMetric):
    """IoU of the pixels that a phrase means and those found for it (PhraseCut), in per cent.

    A phrase's pixels are all of its objects' masks together; what is found for it are the masks of
    its detections with a score of at least ``score_thr``, or the best one's if none has.
    ``mean_iou`` averages over phrases, ``cum_iou`` divides the sums of pixels, ``precision@0.5``
    is the share of phrases with at least that IoU. Phrases without masks do not count. -1 without
    any phrase.

    Source: PhraseCut's evaluation. GLIPv2's sheet gives its mean IoU.

    Each sample needs ``gt_instances`` with masks of the original size and labels that are numbers
    of phrases (put ``mmdet.LoadAnnotations(with_mask=True)`` behind the resizing).

    Args:
        score_thr: Of the detections.
        thresholds: IoUs for the precision.

    Raises:
        ValueError: a sample without masks.
    """

    default_prefix = 'phrase_mask'

    def __init__(
        self,
        *,
        score_thr: float = 0.3,
        thresholds: Sequence[float] = (0.5, 0.7, 0.9),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.score_thr, self.thresholds = score_thr, tuple(thresholds)

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            truth, found = sample.get('gt_instances', {}), sample['pred_instances']
            for which, instances in (('gt_instances', truth), ('pred_instances', found)):
                if 'masks' not in instances:
                    raise ValueError(
                        f'image {sample.get("img_id")}: {which} has no masks; the pipeline needs '
                        'mmdet.LoadAnnotations(with_mask=True) and the model a mask_head'
                    )
            masks = found['masks']
            true_masks = truth['masks'].to_tensor(torch.bool, masks.device)
            true_labels = truth['labels'].to(masks.device)
            # One entry per sample: MMEngine drops what is more than the dataset's length.
            self.results.append(
                self._pixels(masks, found['labels'], found['scores'], true_masks, true_labels)
            )

    def _pixels(
        self,
        masks: torch.Tensor,
        labels: torch.Tensor,
        scores: torch.Tensor,
        true_masks: torch.Tensor,
        true_labels: torch.Tensor,
    ) -> list[tuple[int, int]]:
        """(pixels of both, pixels of either) of each phrase that has a mask."""
        asked = true_labels.unique()
        if not len(asked):
            return []
        phrases = int(torch.cat([asked, labels]).max()) + 1
        best = scores.new_zeros(phrases).scatter_reduce(0, labels, scores, 'amax')
        sure = scores >= best.clamp(max=self.score_thr)[labels]
        ours = masks_of_phrases(masks[sure].bool(), labels[sure], phrases)[asked]
        truth = masks_of_phrases(true_masks, true_labels, phrases)[asked]
        both = (ours & truth).flatten(1).sum(1).tolist()
        either = (ours | truth).flatten(1).sum(1).tolist()
        return list(zip(both, either, strict=True))

    def compute_metrics(self, results: list[list[tuple[int, int]]]) -> dict[str, float]:
        names = ['mean_iou', 'cum_iou', *(f'precision@{value}' for value in self.thresholds)]
        pixels = torch.tensor([row for sample in results for row in sample], dtype=torch.float64)
        if not len(pixels):
            return dict.fromkeys(names, -1.0)
        both, either = pixels.unbind(1)
        ious = both / either.clamp(min=1)
        values = [ious.mean(), both.sum() / either.sum().clamp(min=1)]
        values += [(ious >= value).double().mean() for value in self.thresholds]
        return {name: 100 * float(value) for name, value in zip(names, values, strict=True)}
