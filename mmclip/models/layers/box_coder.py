"""The box coder of ViLD and GLIP."""

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.coders.base_bbox_coder import BaseBBoxCoder
from mmdet.structures.bbox import get_box_tensor

from mmclip.registry import TASK_UTILS


@TASK_UTILS.register_module()
class LegacyDeltaXYWHBBoxCoder(BaseBBoxCoder):
    """Deltas of boxes whose last pixel belongs to them: width = x2 - x1 + 1.

    dx = (cx' - cx) / w * weight, dw = log(w' / w) * weight. Boxes are clipped to [0, W - 1].

    Source: ``box_utils.py`` of ViLD's official code; GLIP's ``BoxCoder``, written otherwise, is the
    same. The host's ``LegacyDeltaXYWHBBoxCoder`` encodes alike but decodes without the half pixel
    and bounds dw from below too.

    Args:
        weights: What dx, dy, dw and dh are multiplied by.
        max_ratio: Upper bound of the decoded dw and dh, as a factor.
        clip_border: Whether decoded boxes are clipped to the image.
    """

    encode_size = 4

    def __init__(
        self,
        *,
        weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        max_ratio: float = 1000 / 16,
        clip_border: bool = True,
    ) -> None:
        super().__init__(use_box_type=False)
        self.weights = tuple(weights)
        self.max_ratio = max_ratio
        self.clip_border = clip_border

    @staticmethod
    def _centers(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = boxes[..., 2:] - boxes[..., :2] + 1
        return boxes[..., :2] + 0.5 * sizes, sizes

    def encode(self, bboxes: torch.Tensor, gt_bboxes: torch.Tensor) -> torch.Tensor:
        """Deltas (N, 4) from boxes (N, 4) to their targets (N, 4)."""
        centers, sizes = self._centers(get_box_tensor(bboxes))
        goals, goal_sizes = self._centers(get_box_tensor(gt_bboxes))
        deltas = torch.cat([(goals - centers) / sizes, (goal_sizes / sizes).log()], -1)
        return deltas * deltas.new_tensor(self.weights)

    def decode(
        self,
        bboxes: torch.Tensor,
        pred_bboxes: torch.Tensor,
        max_shape: Sequence[int] | None = None,
        **_: object,
    ) -> torch.Tensor:
        """Boxes (..., 4) from boxes (..., 4) and deltas (..., 4).

        Args:
            bboxes: Where the deltas start.
            pred_bboxes: Deltas.
            max_shape: (H, W) of the image.
        """
        centers, sizes = self._centers(get_box_tensor(bboxes))
        deltas = pred_bboxes / pred_bboxes.new_tensor(self.weights)
        limit = deltas.new_tensor(self.max_ratio).log()
        new_centers = deltas[..., :2] * sizes + centers
        new_sizes = deltas[..., 2:].minimum(limit).exp() * sizes
        corner = new_centers - 0.5 * new_sizes
        boxes = torch.cat([corner, corner + new_sizes - 1], -1)
        if self.clip_border and max_shape is not None:
            height, width = max_shape[:2]
            last = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
            boxes = boxes.clamp(min=0).minimum(last)
        return boxes
