"""The RPN of the official code: shared convolutions, norms of each level's own."""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.models.dense_heads.rpn_head import RPNHead
from mmdet.models.utils import multi_apply
from mmdet.utils import reduce_mean
from torch import nn

from mmclip.registry import MODELS


@MODELS.register_module()
class SepBNRPNHead(RPNHead):
    """RPN whose convolutions are shared by all levels and whose norms are not.

    The box loss of a level is the Huber loss averaged over the target coordinates that are not
    zero; levels are summed. The host's averages over all sampled anchors of all levels.

    Source: ``rpn_head`` and ``RpnBoxLoss`` of the official code (Huber delta 1/9).

    Args:
        norm_cfg: Norm behind each 3x3 convolution.
        huber_delta: Where the Huber loss becomes linear.
        args, kwargs: The host's; ``loss_bbox`` gives the weight only.

    Shapes:
        L maps (B, C, H_l, W_l) -> L maps (B, A, H_l, W_l) of objectness logits and (B, 4 A, H_l,
        W_l) of box deltas, A anchors per position.
    """

    def __init__(
        self, *args: Any, norm_cfg: dict, huber_delta: float = 1 / 9, **kwargs: Any
    ) -> None:
        self.norm_cfg = norm_cfg
        self.huber_delta = huber_delta
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        channels = [self.in_channels] + self.num_convs * [self.feat_channels]
        pairs = zip(channels[:-1], channels[1:], strict=True)
        self.rpn_conv = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.rpn_norms = nn.ModuleList(
            nn.ModuleList(build_norm_layer(self.norm_cfg, width)[1] for width in channels[1:])
            for _ in range(self.prior_generator.num_levels)
        )
        anchors = self.num_base_priors
        self.rpn_cls = nn.Conv2d(channels[-1], anchors * self.cls_out_channels, 1)
        self.rpn_reg = nn.Conv2d(channels[-1], anchors * self.bbox_coder.encode_size, 1)

    def forward(self, x: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor], ...]:
        """L maps -> L objectness maps, L delta maps."""
        return multi_apply(self.forward_single, x, self.rpn_norms)

    def forward_single(
        self, x: torch.Tensor, norms: nn.ModuleList
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One level with its own norms."""
        for conv, norm in zip(self.rpn_conv, norms, strict=True):
            x = F.relu(norm(conv(x)))
        return self.rpn_cls(x), self.rpn_reg(x)

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple:
        """The host's targets; the number of sampled anchors is the mean over all processes."""
        *targets, sampled = super().get_targets(*args, **kwargs)
        count = torch.tensor(float(sampled), device=targets[0][0].device)
        return *targets, reduce_mean(count).clamp(min=1)

    def loss_by_feat_single(
        self,
        cls_score: torch.Tensor,
        bbox_pred: torch.Tensor,
        anchors: torch.Tensor,
        labels: torch.Tensor,
        label_weights: torch.Tensor,
        bbox_targets: torch.Tensor,
        bbox_weights: torch.Tensor,
        avg_factor: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses of one level.

        Args:
            cls_score: (B, A, H, W).
            bbox_pred: (B, 4 A, H, W).
            anchors, labels, label_weights, bbox_targets, bbox_weights: (B, H W A, ...), the host's.
            avg_factor: Sampled anchors of the batch.
        """
        scores = cls_score.permute(0, 2, 3, 1).reshape(-1, self.cls_out_channels)
        loss_cls = self.loss_cls(
            scores, labels.reshape(-1), label_weights.reshape(-1), avg_factor=avg_factor
        )
        deltas = bbox_pred.permute(0, 2, 3, 1).reshape(-1, bbox_targets.shape[-1])
        targets = bbox_targets.reshape(deltas.shape)
        loss_bbox = nonzero_huber(deltas, targets, self.huber_delta)
        return loss_cls, self.loss_bbox.loss_weight * loss_bbox


def nonzero_huber(pred: torch.Tensor, target: torch.Tensor, delta: float) -> torch.Tensor:
    """Huber loss averaged over the coordinates whose target is not zero, on all processes.

    Args:
        pred, target: (..., 4).
        delta: Where the loss becomes linear.
    """
    counted = target != 0
    total = F.huber_loss(pred, target, reduction='none', delta=delta).where(counted, 0).sum()
    return total / reduce_mean(counted.sum().float()).clamp(min=1)
