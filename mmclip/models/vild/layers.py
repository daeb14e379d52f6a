"""Layers that differ from the host's in a bias, in where they pad, or for a single row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from timm.layers import Conv2dSame
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


@MODELS.register_module()
class SameConv2d(Conv2dSame):
    """A convolution that pads by TensorFlow's rule SAME: with stride 2, an even size is padded
    behind only. The host's ``padding`` is not used. timm's, under a name that configs know.
    """


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
