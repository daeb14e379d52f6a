"""DPT's decoder: maps of four strides are fused from coarse to fine."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import nn


class ResidualConvUnit(nn.Module):
    """x + norm(conv(relu(norm(conv(relu(x)))))), with 3x3 convolutions.

    Shapes:
        (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int, norm_cfg: dict | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=norm_cfg is None)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=norm_cfg is None)
        self.bn1, self.bn2 = (
            build_norm_layer(norm_cfg, channels)[1] if norm_cfg else nn.Identity() for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn1(self.conv1(F.relu(x)))
        return x + self.bn2(self.conv2(F.relu(y)))


class FusionBlock(nn.Module):
    """Adds a finer map to the fused coarser ones and doubles the resolution.

    y = conv(up(unit2(coarse + unit1(skip)))), up bilinear with aligned corners. The coarsest block
    has no skip and no ``unit1`` (the official code builds one and never uses it).

    Shapes:
        coarse (B, C, h, w), skip the same or None -> (B, C, *size), by default (B, C, 2h, 2w).
    """

    def __init__(self, channels: int, norm_cfg: dict | None, has_skip: bool) -> None:
        super().__init__()
        self.unit1 = ResidualConvUnit(channels, norm_cfg) if has_skip else None
        self.unit2 = ResidualConvUnit(channels, norm_cfg)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(
        self,
        coarse: torch.Tensor,
        skip: torch.Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        if skip is not None:
            coarse = coarse + self.unit1(skip)
        x = self.unit2(coarse)
        size = size or (2 * x.shape[2], 2 * x.shape[3])
        x = F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=True)
        return self.project(x)


class DPTDecoder(BaseModule):
    """Fuses four maps into one at twice the resolution of the finest.

    Source: DPT (arXiv 2103.13413) section 3.1, with batch norm as in LSeg. Where a map has an odd
    side, the coarser one is brought to exactly its size (the official code fails there).

    Args:
        in_channels: C_l of the maps, finest first.
        channels: C inside.
        norm_cfg: The host's norm config; None for none.

    Shapes:
        L maps (B, C_l, H_l, W_l) -> (B, C, 2 H_0, 2 W_0).
    """

    def __init__(
        self, *, in_channels: Sequence[int], channels: int = 256, norm_cfg: dict | None = None
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(c, channels, 3, padding=1, bias=False) for c in in_channels
        )
        last = len(in_channels) - 1
        self.fusion_blocks = nn.ModuleList(
            FusionBlock(channels, norm_cfg, has_skip=level < last)
            for level in range(len(in_channels))
        )

    def paths(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What leaves the fusion blocks, finest first."""
        maps = [conv(x) for conv, x in zip(self.convs, maps, strict=True)]
        paths: list[torch.Tensor] = []
        for level in reversed(range(len(maps))):
            coarse, skip = (paths[0], maps[level]) if paths else (maps[level], None)
            size = tuple(maps[level - 1].shape[2:]) if level else None
            paths.insert(0, self.fusion_blocks[level](coarse, skip, size))
        return tuple(paths)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """L maps, finest first -> (B, C, 2 H_0, 2 W_0)."""
        return self.paths(maps)[0]
