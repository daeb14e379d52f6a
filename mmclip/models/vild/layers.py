"""Layers that differ from the host's in a bias, in where they pad, or for a single row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmclip.registry import MODELS


@MODELS.register_module()
class BiasedConv2d(nn.Conv2d):
    """A convolution with a bias, whatever the host says (which leaves it out before a norm).

    The bias changes nothing that a norm does not undo; it is there because the official weights
    have one. Meant for ``conv_cfg=dict(type='mmclip.BiasedConv2d')``.
    """

    def __init__(self, *args: Any, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, bias=True, **kwargs)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and behind, by TensorFlow's rule SAME: the odd one goes behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(
    x: torch.Tensor, kernel: tuple[int, int], stride: tuple[int, int], value: float = 0.0
) -> torch.Tensor:
    """(B, C, H, W) padded by TensorFlow's rule SAME."""
    top, bottom = same_padding(x.shape[2], kernel[0], stride[0])
    left, right = same_padding(x.shape[3], kernel[1], stride[1])
    return F.pad(x, (left, right, top, bottom), value=value)


@MODELS.register_module()
class SameConv2d(nn.Conv2d):
    """A convolution that pads by TensorFlow's rule SAME: with stride 2, an even size is padded
    behind only. The host's ``padding`` is not used.
    """

    def __init__(self, *args: Any, padding: Any = 0, **kwargs: Any) -> None:
        super().__init__(*args, padding=0, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        return super().forward(pad_same(x, self.kernel_size, self.stride))


class SameMaxPool2d(nn.Module):
    """Max-pooling that pads by TensorFlow's rule SAME.

    Args:
        kernel: Side of the window in pixels.
        stride: In pixels.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel, kernel), (stride, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))."""
        padded = pad_same(x, self.kernel, self.stride, float('-inf'))
        return F.max_pool2d(padded, self.kernel, self.stride)


@contextmanager
def single_row_norms(module: nn.Module, rows: int) -> Iterator[None]:
    """Batch norms use their running statistics while there are fewer than two rows to average."""
    norms = []
    if module.training and rows < 2:
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
