"""Evaluation over scales, windows and mirror images, as PyTorch-Encoding does it for ADE20K."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

Network = Callable[[torch.Tensor], torch.Tensor]


def _resize(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(x, size=size, mode='bilinear', align_corners=True)


def pad_to(image: torch.Tensor, side: int, fill: torch.Tensor) -> torch.Tensor:
    """Pad right and bottom until no side is shorter than ``side``.

    Shapes:
        image (B, 3, H, W), fill (3,), the value of black after normalization.
    """
    height, width = image.shape[2:]
    padded = (
        fill.to(image).view(1, -1, 1, 1).repeat(len(image), 1, max(side, height), max(side, width))
    )
    padded[:, :, :height, :width] = image
    return padded


def _with_mirror(network: Network, image: torch.Tensor, flip: bool) -> torch.Tensor:
    logits = network(image)
    return logits + network(image.flip(3)).flip(3) if flip else logits


def _windows(
    network: Network, image: torch.Tensor, crop: int, stride: int, fill: torch.Tensor, flip: bool
) -> torch.Tensor:
    """Logits of an image averaged over windows; a window that runs past the border is padded."""
    height, width = image.shape[2:]
    image = pad_to(image, crop, fill)
    total, counts = None, image.new_zeros(1, 1, *image.shape[2:])
    rows = math.ceil((image.shape[2] - crop) / stride) + 1
    columns = math.ceil((image.shape[3] - crop) / stride) + 1
    for top in (row * stride for row in range(rows)):
        for left in (column * stride for column in range(columns)):
            window = image[:, :, top : top + crop, left : left + crop]
            h, w = window.shape[2:]
            logits = _with_mirror(network, pad_to(window, crop, fill), flip)[:, :, :h, :w]
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], *image.shape[2:])
            total[:, :, top : top + h, left : left + w] += logits
            counts[:, :, top : top + h, left : left + w] += 1
    return (total / counts)[:, :, :height, :width]


def multi_scale_logits(
    network: Network,
    image: torch.Tensor,
    *,
    base_size: int,
    crop_size: int,
    scales: Sequence[float],
    fill: torch.Tensor,
    flip: bool = True,
    stride_rate: float = 2 / 3,
) -> torch.Tensor:
    """Sum over scales of logits; at each scale image and mirror image are added.

    The long side becomes ceil(base_size * scale). Up to ``crop_size`` the padded image goes through
    in one pass; a larger one in windows of ``crop_size`` at a stride of
    int(crop_size * stride_rate), whose logits are averaged. Everything is resized bilinearly with
    aligned corners.

    Source: LSeg's ADE20K evaluation (``MultiEvalModule`` of PyTorch-Encoding).

    Args:
        network: (B, 3, h, w) -> (B, K, h, w) logits, h and w being ``crop_size``.
        image: Normalized.
        base_size: Pixels of the long side at scale 1.
        crop_size: Pixels of a window.
        scales: Factors.
        fill: (3,), the value of black after normalization.
        flip: Whether mirror images count too.
        stride_rate: Stride of the windows as a share of their side.

    Shapes:
        image (B, 3, H, W) -> (B, K, H, W).

    Raises:
        ValueError: no scales, or one that is not positive; windows that leave gaps, or do not move.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f'scales: positive numbers are needed, got {list(scales)}')
    height, width = image.shape[2:]
    stride = int(crop_size * stride_rate)
    if not 0 < stride <= crop_size:
        raise ValueError(
            f'stride_rate: {stride_rate} moves windows of {crop_size} pixels by {stride}; allowed '
            f'are 1 to {crop_size}'
        )
    total = 0
    for scale in scales:
        long_side = math.ceil(base_size * scale)
        if height > width:
            size = (long_side, max(1, int(width * long_side / height + 0.5)))
        else:
            size = (max(1, int(height * long_side / width + 0.5)), long_side)
        scaled = _resize(image, size)
        if long_side <= crop_size:
            logits = _with_mirror(network, pad_to(scaled, crop_size, fill), flip)
            logits = logits[:, :, : size[0], : size[1]]
        else:
            logits = _windows(network, scaled, crop_size, stride, fill, flip)
        total = total + _resize(logits, (height, width))
    return total
