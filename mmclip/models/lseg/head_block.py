"""Spatial regularization of the labels' logits, the same for every label."""

import torch
from mmengine.model import BaseModule
from torch import nn

KINDS = ('depthwise', 'bottleneck')
ACTIVATIONS = {
    'relu': nn.ReLU,
    'lrelu': lambda: nn.LeakyReLU(0.01),
    'tanh': nn.Tanh,
}


class HeadBlock(BaseModule):
    """One 3x3 convolution shared by all labels, applied ``depth`` times.

    depthwise: x <- conv(x); bottleneck: x <- conv(x) + max over labels of x. An activation follows
    each repetition but the last. As one single-channel filter serves every label, the result does
    not depend on the number or the order of labels.

    Source: LSeg (arXiv 2201.03546) section 3.3. As in the official code the repetitions share
    their weights, and depth 0 is the same as depth 1.

    Args:
        kind: ``'depthwise'`` or ``'bottleneck'``.
        depth: Repetitions.
        activation: ``'relu'``, ``'lrelu'`` (slope 0.01) or ``'tanh'``.

    Shapes:
        (B, K, H, W) -> (B, K, H, W).

    Raises:
        ValueError: unknown kind or activation, negative depth.
    """

    def __init__(self, *, kind: str, depth: int = 1, activation: str = 'lrelu') -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f'head_block: kind {kind!r} is none of {", ".join(KINDS)}')
        if activation not in ACTIVATIONS:
            raise ValueError(
                f'head_block: activation {activation!r} is none of {", ".join(ACTIVATIONS)}'
            )
        if depth < 0:
            raise ValueError(f'head_block: depth {depth}; allowed are 0 and more')
        self.kind = kind
        self.depth = max(depth, 1)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, K, H, W) -> (B, K, H, W)."""
        for repetition in range(self.depth):
            if repetition:
                logits = self.activation(logits)
            filtered = self.conv(logits.flatten(0, 1)[:, None])[:, 0].unflatten(0, logits.shape[:2])
            if self.kind == 'bottleneck':
                filtered = filtered + logits.amax(1, keepdim=True)
            logits = filtered
        return logits
