"""The mask head of the official code."""

from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import FCNMaskHead

from mmclip.registry import MODELS


@MODELS.register_module()
class ViLDMaskHead(FCNMaskHead):
    """The host's mask head, class-agnostic, with a norm behind the deconvolution too.

    Source: ``mask_head`` of the official code.

    Args:
        args, kwargs: The host's; ``norm_cfg`` is used for all norms. ``class_agnostic`` is True
            unless given: novel classes have no masks in training.

    Shapes:
        (N, C, h, w) -> (N, 1, 2 h, 2 w) logits.
    """

    def __init__(self, *args: Any, class_agnostic: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, class_agnostic=class_agnostic, **kwargs)
        self.with_upsample_norm = self.upsample_method == 'deconv' and self.norm_cfg is not None
        if self.with_upsample_norm:
            self.upsample_norm = build_norm_layer(self.norm_cfg, self.conv_out_channels)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) RoI features -> (N, 1, 2 h, 2 w) logits."""
        if not self.with_upsample_norm:
            return super().forward(x)
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(self.relu(self.upsample_norm(self.upsample(x))))
