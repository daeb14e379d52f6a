"""Masks in boxes as masks of images."""

import torch
import torch.nn.functional as F

PIXELS_AT_ONCE = 1 << 26  # of pasted masks in float32


def paste(
    masks: torch.Tensor,
    boxes: torch.Tensor,
    size: tuple[int, int],
    threshold: float = 0.5,
    *,
    inclusive: bool = False,
) -> torch.Tensor:
    """Resize each mask to its box, bilinearly, and keep what is above the threshold.

    By default pixel (x, y) reads the mask at its center, as mmdet's pasting does. ``inclusive`` is
    the official way for boxes whose last pixel is part of them: the mask gets a border of one
    pixel, the box grows to match and is cut to whole pixels, its width counts x2 - x1 + 1.

    Source: ``Masker`` of maskrcnn-benchmark.

    Args:
        masks: Probabilities.
        boxes: xyxy pixels.
        size: Height and width of the image.
        threshold: A pixel belongs to the object above it.
        inclusive: Whether x2, y2 are the last pixels of a box.

    Shapes:
        (N, m, m), (N, 4) -> (N, H, W) bool.
    """
    masks, boxes = masks.float(), boxes.float()
    if inclusive:
        side = masks.shape[-1]
        center = (boxes[:, 2:] + boxes[:, :2]) / 2
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (side + 2) / side
        boxes = torch.cat([center - half, center + half], 1).trunc()
        masks = F.pad(masks, (1, 1, 1, 1))
    weights = _whole_pixels if inclusive else _pixel_centers
    down = weights(boxes[:, 1], boxes[:, 3], size[0], masks.shape[1])
    along = weights(boxes[:, 0], boxes[:, 2], size[1], masks.shape[2])
    step = max(PIXELS_AT_ONCE // max(size[0] * size[1], 1), 1)
    parts = [
        down[i : i + step] @ masks[i : i + step] @ along[i : i + step].mT > threshold
        for i in range(0, len(masks), step)
    ]
    return torch.cat([torch.zeros(0, *size, dtype=torch.bool, device=masks.device), *parts])


def _between(source: torch.Tensor, side: int) -> torch.Tensor:
    """Weights with which places (N, length) read ``side`` values; (N, length, side)."""
    distance = (source[..., None] - torch.arange(side, device=source.device)).abs()
    return (1 - distance).clamp(min=0)


def _pixel_centers(start: torch.Tensor, end: torch.Tensor, length: int, side: int) -> torch.Tensor:
    centers = torch.arange(length, device=start.device) + 0.5
    extent = (end - start).clamp(min=1e-6)
    return _between((centers - start[:, None]) * (side / extent)[:, None] - 0.5, side)


def _whole_pixels(start: torch.Tensor, end: torch.Tensor, length: int, side: int) -> torch.Tensor:
    count = (end - start + 1).clamp(min=1)
    place = torch.arange(length, device=start.device) - start[:, None]
    source = ((place + 0.5) * (side / count)[:, None] - 0.5).clamp(0, side - 1)
    inside = (place >= 0) & (place < count[:, None])
    return _between(source, side) * inside[..., None]
