"""Distillation: regions shall have the embedding that the teacher has for their crop."""

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule

from mmclip.registry import MODELS

NORMS = ('l1', 'l2')


def distance_to_teacher(
    student: torch.Tensor, teacher: torch.Tensor, valid: torch.Tensor, norm: str = 'l1'
) -> torch.Tensor:
    """Sum over D of |student - teacher|, averaged over the valid regions of all processes.

    Args:
        student: (..., D), unit norm.
        teacher: (..., D), of any norm; it is normalized.
        valid: (...) bool: which regions count.
        norm: ``'l1'``, or ``'l2'`` for the sum of squares.
    """
    difference = student.float() - F.normalize(teacher.float(), dim=-1)
    each = (difference.abs() if norm == 'l1' else difference.square()).sum(-1)
    count = reduce_mean(valid.sum().float())
    return each.where(valid, 0).sum() / count.clamp(min=1)


@MODELS.register_module()
class L1DistillLoss(BaseModule):
    """w * mean over regions of the sum over D of |e - v|, both of unit norm.

    No label is used, so objects of novel classes and background are distilled alike.

    Source: ViLD, equation 4 and section 3.2 (w = 0.5 with ResNet-50). DetPro's 256 times the mean
    over all elements is the same for D = 512.

    Args:
        loss_weight: w.
        norm: ``'l1'``, or ``'l2'`` for squares.

    Raises:
        ValueError: unknown ``norm``; a teacher of another width than the student.

    Example:
        >>> loss = L1DistillLoss(loss_weight=0.5)
        >>> loss(torch.randn(3, 8), torch.randn(3, 8), torch.tensor([True, True, False]))
    """

    def __init__(self, *, loss_weight: float = 0.5, norm: str = 'l1') -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f'norm: {norm!r} is none of {", ".join(NORMS)}')
        self.loss_weight = loss_weight
        self.norm = norm

    def forward(
        self, student: torch.Tensor, teacher: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """Loss of raw student (M, D) against teacher (M, D); ``valid`` is (M,)."""
        if student.shape != teacher.shape:
            raise ValueError(
                f'teacher: the stored embeddings have the shape {tuple(teacher.shape)}, the '
                f"student's {tuple(student.shape)}; was the store made by another CLIP?"
            )
        normed = F.normalize(student.float(), dim=-1)
        return self.loss_weight * distance_to_teacher(normed, teacher, valid, self.norm)
