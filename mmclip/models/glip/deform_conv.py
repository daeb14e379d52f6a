"""Modulated deformable 3 x 3 convolution: MMCV's on accelerators, tensor operations on CPUs."""

import torch
import torch.nn.functional as F
from mmcv.ops import modulated_deform_conv2d

TAPS = 9


def deform_conv(
    x: torch.Tensor,
    offsets: torch.Tensor,
    masks: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    stride: int = 1,
) -> torch.Tensor:
    """out(p) = bias + sum_k W_k m_k(p) x(stride p + p_k + offset_k(p)), bilinear, zeros outside.

    MMCV's CPU kernel takes most of a training step for its backward pass; here it is ten times as
    fast. Offsets and masks may be larger than the output; then the first values of each image's
    memory are read as if they had its size, as MMCV's and the official kernels do.

    Args:
        x: Maps.
        offsets: y and x of each of the nine places, in pixels.
        masks: Factors of the places.
        weight, bias: Of the convolution.
        stride: Between output places; the padding is 1.

    Shapes:
        x (B, C, H, W), offsets (B, 18, H', W'), masks (B, 9, H', W'), weight (O, C, 3, 3),
        bias (O,) -> (B, O, H', W').
    """
    parts = (x, offsets, masks, weight, bias)
    if x.device.type == 'cpu':
        with torch.autocast('cpu', enabled=False):
            return _on_cpu(*widened(parts, HALF), stride).to(x.dtype)
    parts = tuple(part.contiguous() for part in parts)
    if all(part.dtype != torch.bfloat16 for part in parts):
        return modulated_deform_conv2d(*parts, stride, 1, 1, 1, 1)
    with torch.autocast(x.device.type, enabled=False):  # MMCV has no kernel for it
        wide = widened(parts, (torch.bfloat16,))
        return modulated_deform_conv2d(*wide, stride, 1, 1, 1, 1).to(x.dtype)


HALF = (torch.float16, torch.bfloat16)


def widened(parts: tuple[torch.Tensor, ...], kinds: tuple[torch.dtype, ...]) -> tuple:
    """Tensors of some types as float32, others as they are."""
    return tuple(part.float() if part.dtype in kinds else part for part in parts)


def _on_cpu(
    x: torch.Tensor,
    offsets: torch.Tensor,
    masks: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    stride: int,
) -> torch.Tensor:
    batch, channels, height, width = x.shape
    size = (height - 1) // stride + 1, (width - 1) // stride + 1
    places = size[0] * size[1]
    offsets = offsets.flatten(1)[:, : 2 * TAPS * places].view(batch, TAPS, 2, places)
    masks = masks.flatten(1)[:, : TAPS * places].view(batch, TAPS, places)
    numbers, factors = corners(offsets, masks, (height, width), size, stride)
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    # A bag is one tap at one place: the weighted sum of its four pixels.
    taps = F.embedding_bag(
        numbers.view(-1, 4), rows, per_sample_weights=factors.reshape(-1, 4), mode='sum'
    )
    kernel = weight.permute(2, 3, 1, 0).reshape(TAPS * channels, -1)
    out = taps.view(batch * places, -1) @ kernel + bias
    return out.view(batch, *size, -1).permute(0, 3, 1, 2).contiguous()


def corners(
    offsets: torch.Tensor,
    masks: torch.Tensor,
    shape: tuple[int, int],
    size: tuple[int, int],
    stride: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The four pixels around each tap: numbers of rows of all pixels, and their factors.

    Shapes:
        offsets (B, 9, 2, N), masks (B, 9, N) -> (B, N, 9, 4) int64 and float.
    """
    steps = torch.arange(3, device=masks.device) - 1
    first = torch.arange(size[0], device=masks.device) * stride
    second = torch.arange(size[1], device=masks.device) * stride
    y = steps.repeat_interleave(3)[:, None] + first.repeat_interleave(size[1])
    x = steps.repeat(3)[:, None] + second.repeat(size[0])
    y, x = ((base + offsets[:, :, i]).transpose(1, 2) for i, base in enumerate((y, x)))
    top, left = y.detach().floor(), x.detach().floor()
    below, right = y - top, x - left
    factors = torch.stack(
        [(1 - below) * (1 - right), (1 - below) * right, below * (1 - right), below * right], -1
    )
    rows = torch.stack([top, top, top + 1, top + 1], -1)
    columns = torch.stack([left, left + 1, left, left + 1], -1)
    height, width = shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    numbers = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    images = torch.arange(len(masks), device=masks.device)[:, None, None, None]
    factors = factors * masks.transpose(1, 2)[..., None] * inside
    return numbers.long() + images * (height * width), factors
