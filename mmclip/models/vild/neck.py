"""The feature pyramid of the official code."""

from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmdet.models.necks.fpn import FPN
from torch import nn

from mmclip.registry import MODELS


@MODELS.register_module()
class EndNormFPN(FPN):
    """FPN with one norm, without an activation, at the very end of each level.

    P6 is a convolution of stride 2 on P5's output before its norm
    (``add_extra_convs='on_output'``).

    Source: ``fpn.py`` of the official code. Its convolution for P6 pads behind only for even sizes:
    ``conv_cfg=dict(type='mmclip.SameConv2d')``.

    Args:
        end_norm_cfg: Norm of the outputs.
        args, kwargs: The host's.

    Shapes:
        L_in maps (B, C_l, H_l, W_l) -> L maps (B, C, H_l, W_l).
    """

    def __init__(self, *args: Any, end_norm_cfg: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.end_norms = nn.ModuleList(
            build_norm_layer(end_norm_cfg, self.out_channels)[1] for _ in range(self.num_outs)
        )

    def forward(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """L_in maps of the backbone -> L normed maps."""
        levels = super().forward(inputs)
        return tuple(norm(x) for norm, x in zip(self.end_norms, levels, strict=True))
