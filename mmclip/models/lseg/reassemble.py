"""Tokens of a ViT as feature maps of four strides (DPT's reassemble operation)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

READOUTS = ('project', 'add', 'ignore')
_STRIDES = (4, 8, 16, 32)


class Readout(nn.Module):
    """Gives what the special tokens know to every patch token.

    - ``'ignore'``: drops them;
    - ``'add'``: adds their mean;
    - ``'project'``: GELU(W [token, class token]), from 2C to C channels.

    Source: DPT (arXiv 2103.13413) section 3.1; with two special tokens (DeiT) the official code
    averages both for ``'add'`` and reads the first only for ``'project'``.

    Args:
        kind: One of the above.
        channels: C.

    Shapes:
        tokens (B, N, C), special (B, S, C) -> (B, N, C).

    Raises:
        ValueError: unknown kind.
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        if kind not in READOUTS:
            raise ValueError(f'readout: {kind!r} is none of {", ".join(READOUTS)}')
        self.kind = kind
        if kind == 'project':
            self.project = nn.Linear(2 * channels, channels)

    def forward(self, tokens: torch.Tensor, special: torch.Tensor) -> torch.Tensor:
        if self.kind == 'ignore':
            return tokens
        if self.kind == 'add':
            return tokens + special.mean(1, keepdim=True)
        first = special[:, :1].expand_as(tokens)
        return nn.functional.gelu(self.project(torch.cat([tokens, first], -1)))


def _resize_layer(channels: int, patch_size: int, stride: int) -> nn.Module:
    """From the stride of the patches to another one, by a learned convolution."""
    if patch_size >= stride:
        factor = patch_size // stride
        if factor == 1:
            return nn.Identity()
        return nn.ConvTranspose2d(channels, channels, factor, stride=factor)
    return nn.Conv2d(channels, channels, 3, stride=stride // patch_size, padding=1)


class Reassemble(BaseModule):
    """Reassembles the taps of a ViT into maps of strides 4, 8, 16 and 32.

    Per tap: readout, 1x1 convolution to C_l channels, then a (transposed) convolution to the
    stride. Patches of 16: k4s4, k2s2, nothing, k3s2. Patches of 32: k8s8, k4s4, k2s2, nothing.

    Source: DPT (arXiv 2103.13413) section 3.1.

    Args:
        in_channels: C of the tokens.
        channels: C_l of the four maps.
        patch_size: Pixels; a power of two from 4 to 32.
        readout: As :class:`Readout`.
        strides: Of the four maps, in pixels.

    Shapes:
        Four pairs (B, C, h, w), (B, S, C) -> four maps (B, C_l, H / stride, W / stride).

    Raises:
        ValueError: a patch size that gives no whole factors.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: Sequence[int],
        patch_size: int,
        readout: str = 'project',
        strides: Sequence[int] = _STRIDES,
    ) -> None:
        super().__init__()
        if any(max(patch_size, s) % min(patch_size, s) for s in strides):
            raise ValueError(f'patch_size: {patch_size} does not fit the strides {tuple(strides)}')
        self.readouts = nn.ModuleList(Readout(readout, in_channels) for _ in channels)
        self.projects = nn.ModuleList(nn.Conv2d(in_channels, c, 1) for c in channels)
        self.resizes = nn.ModuleList(
            _resize_layer(c, patch_size, s) for c, s in zip(channels, strides, strict=True)
        )

    def forward(
        self, taps: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, ...]:
        """Four taps (B, C, h, w), (B, S, C) -> maps (B, C_l, H_l, W_l)."""
        maps = []
        for tap, readout, project, resize in zip(
            taps, self.readouts, self.projects, self.resizes, strict=True
        ):
            patches, special = tap
            if special.ndim == 2:  # mmseg's ViT gives the class token as (B, C)
                special = special[:, None]
            tokens = readout(patches.flatten(2).transpose(1, 2), special)
            grid = tokens.transpose(1, 2).unflatten(2, patches.shape[2:])
            maps.append(resize(project(grid)))
        return tuple(maps)
