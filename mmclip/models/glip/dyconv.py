"""DyHead's block: deformable convolutions over neighboring levels, weighted, then DyReLU."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.glip.deform_conv import deform_conv

OFFSETS = 18  # of a 3 x 3 kernel; 9 masks follow


class DyReLU(nn.Module):
    """max(a1 x + b1, a2 x + b2) with coefficients that depend on the map's mean.

    Source: arXiv 2003.10027, variant B; official ``DYReLU``.

    Args:
        channels: C.
        reduction: Channels of the squeeze are C / reduction.

    Shapes:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.expand = nn.Linear(channels // reduction, 4 * channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        coefficients = F.hardsigmoid(self.expand(F.relu(self.squeeze(x.mean((2, 3)))))) - 0.5
        a1, b1, a2, b2 = coefficients[:, :, None, None].chunk(4, 1)
        return torch.maximum(x * (2 * a1 + 1) + b1, x * (2 * a2) + b2)


class LevelConv(nn.Module):
    """A 3 x 3 convolution, deformable if it is given offsets, and a group norm."""

    def __init__(self, channels: int, stride: int, groups: int, deform: bool) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.GroupNorm(groups, channels)
        if deform:
            bound = (9 * channels) ** -0.5
            nn.init.uniform_(self.weight, -bound, bound)
        else:
            nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: torch.Tensor, offsets: tuple[torch.Tensor, ...] | None) -> torch.Tensor:
        if offsets is None:
            x = F.conv2d(x, self.weight, self.bias, self.stride, padding=1)
        else:
            x = deform_conv(x, *offsets, self.weight, self.bias, self.stride)
        return self.norm(x)


class DyConv(BaseModule):
    """One block of DyHead over all levels.

    Level l is the mean of up to three convolutions (of itself; of the finer level, stride 2; of
    the coarser level, enlarged), each weighted by a number from its own mean; then DyReLU. The
    offsets of level l serve all three. On the coarser level, whose map is smaller, the kernel reads
    the first values of the offsets' memory as if they had its shape: so do the official code and
    its weights.

    Source: DyHead (arXiv 2106.08322); official ``DyConv``.

    Args:
        channels: C.
        norm_groups: Of the group norms.
        deform: Deformable convolutions.
        fuse: Weigh the branches.
        dyrelu: DyReLU at the end, else ReLU.

    Shapes:
        L maps (B, C, H_l, W_l), finest first -> the same.
    """

    def __init__(
        self,
        *,
        channels: int,
        norm_groups: int = 16,
        deform: bool = True,
        fuse: bool = True,
        dyrelu: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.coarser, self.same, self.finer = (
            LevelConv(channels, stride, norm_groups, deform) for stride in (1, 1, 2)
        )
        self.offset = self.weight = None
        if deform:
            self.offset = nn.Conv2d(channels, 27, 3, padding=1)
            nn.init.normal_(self.offset.weight, std=0.01)
            nn.init.zeros_(self.offset.bias)
        if fuse:
            self.weight = nn.Linear(channels, 1)
            nn.init.normal_(self.weight.weight, std=0.01)
            nn.init.zeros_(self.weight.bias)
        self.act = DyReLU(channels) if dyrelu else nn.ReLU()

    def forward(self, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(self.act(self._level(features, number)) for number in range(len(features)))

    def _level(self, features: tuple[torch.Tensor, ...], number: int) -> torch.Tensor:
        here, offsets = features[number], None
        if self.offset is not None:
            found = self.offset(here)
            offsets = found[:, :OFFSETS], found[:, OFFSETS:].sigmoid()
        branches = [self.same(here, offsets)]
        if number > 0:
            branches.append(self.finer(features[number - 1], offsets))
        if number < len(features) - 1:
            coarse = self.coarser(features[number + 1], offsets)
            size = here.shape[2:]
            branches.append(F.interpolate(coarse, size, mode='bilinear', align_corners=True))
        return sum(self._weighted(branch) for branch in branches) / len(branches)

    def _weighted(self, branch: torch.Tensor) -> torch.Tensor:
        if self.weight is None:
            return branch
        gate = F.hardsigmoid(F.relu(self.weight(branch.mean((2, 3)))))
        return branch * gate[..., None, None]
