"""RoIAlign as the official code does it: one sample per bin."""

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors.single_level_roi_extractor import SingleRoIExtractor
from torch import nn

from mmclip.registry import MODELS


class CenterRoIAlign(RoIAlign):
    """One bilinear sample at the center of each bin, at box / stride without a half-pixel shift.

    MMCV's RoIAlign without that shift widens RoIs below one cell to one cell. With the shift it
    does not, so here the boxes are shifted back before.

    Args:
        output_size: Bins per side.
        spatial_scale: 1 / stride.
    """

    def __init__(self, output_size: int, spatial_scale: float) -> None:
        super().__init__(output_size, spatial_scale, sampling_ratio=1, aligned=True)

    def forward(self, features: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) features and (N, 5) RoIs -> (N, C, bins, bins)."""
        half = rois.new_tensor([0.0, 1.0, 1.0, 1.0, 1.0]) * (0.5 / self.spatial_scale)
        return super().forward(features, rois + half)


@MODELS.register_module()
class CenterRoIExtractor(SingleRoIExtractor):
    """The host's extractor with :class:`CenterRoIAlign`, for converted official weights.

    The level of a RoI is floor(log2(sqrt(w h) / 224)) + 4 as in the host.

    Source: ``spatial_transform_ops.multilevel_crop_and_resize`` of the official code.

    Args:
        roi_layer: ``dict(output_size=7)``.
        out_channels, featmap_strides, finest_scale: The host's.

    Shapes:
        L maps (B, C, H_l, W_l) and RoIs (N, 5) -> (N, C, bins, bins).
    """

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: list[int]) -> nn.ModuleList:
        """One layer per level."""
        size = layer_cfg['output_size']
        return nn.ModuleList(CenterRoIAlign(size, 1 / stride) for stride in featmap_strides)
