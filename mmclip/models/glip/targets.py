"""Which anchor answers for which object, and what it should say."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmengine.structures import InstanceData

from mmclip.registry import TASK_UTILS


@TASK_UTILS.register_module()
class LegacyBboxOverlaps:
    """IoU of boxes whose last pixel belongs to them: width = x2 - x1 + 1.

    Shapes:
        (N, 4), (M, 4) -> (N, M).
    """

    def __call__(
        self, bboxes1: torch.Tensor, bboxes2: torch.Tensor, mode: str = 'iou'
    ) -> torch.Tensor:
        last = bboxes1.new_tensor([0.0, 0.0, 1.0, 1.0])
        first, second = bboxes1 + last, bboxes2 + last
        area1, area2 = ((b[:, 2:] - b[:, :2]).prod(1) for b in (first, second))
        low = first[:, None, :2].maximum(second[None, :, :2])
        high = first[:, None, 2:].minimum(second[None, :, 2:])
        common = (high - low).clamp(min=0).prod(2)
        return common / (area1[:, None] if mode == 'iof' else area1[:, None] + area2 - common)


class AnchorTargets(NamedTuple):
    """Of the N anchors of an image: the object (-1 for none), its box, the centerness target.

    Shapes:
        objects (N,) int64, boxes (N, 4), centerness (N,).
    """

    objects: torch.Tensor
    boxes: torch.Tensor
    centerness: torch.Tensor

    @property
    def positive(self) -> torch.Tensor:
        return self.objects >= 0


def centerness_targets(anchors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) at the anchors' centers; (N,)."""
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    low, high = centers - boxes[:, :2], boxes[:, 2:] - centers
    ratios = low.minimum(high) / low.maximum(high)
    return ratios.clamp(min=0).prod(1).sqrt()


def anchor_targets(
    assigner: ATSSAssigner, anchors: Sequence[torch.Tensor], boxes: torch.Tensor
) -> AnchorTargets:
    """Targets of one image.

    Args:
        assigner: The host's.
        anchors: Of each level, (N_l, 4).
        boxes: (G, 4) of the objects, in the anchors' convention.
    """
    everything = torch.cat(list(anchors))
    found = assigner.assign(
        InstanceData(priors=everything),
        [len(level) for level in anchors],
        InstanceData(bboxes=boxes, labels=boxes.new_zeros(len(boxes), dtype=torch.long)),
    )
    objects = found.gt_inds - 1
    if not len(boxes):
        return AnchorTargets(
            objects.clamp(max=-1), everything, everything.new_zeros(len(everything))
        )
    matched = boxes[objects.clamp(min=0)]
    centerness = centerness_targets(everything, matched).masked_fill(objects < 0, 0)
    return AnchorTargets(objects, matched, centerness)


def token_targets(
    objects: torch.Tensor, labels: torch.Tensor, maps: torch.Tensor, *, no_object: bool = False
) -> torch.Tensor:
    """Of each anchor the tokens that name its object, 0 or 1.

    Args:
        objects: (N,) object of each anchor, -1 for none.
        labels: (G,) phrase of each object.
        maps: (P, T) tokens of each phrase, 0 or not.
        no_object: Anchors without an object point at the last token, as in the official code,
            where it is padding unless the text fills all tokens.

    Shapes:
        -> (N, T) float32.
    """
    rows = torch.cat([maps[labels] > 0, maps.new_zeros(1, maps.shape[1], dtype=torch.bool)])
    rows = rows.float()
    if no_object:
        rows[-1, -1] = 1
    return rows[objects]
