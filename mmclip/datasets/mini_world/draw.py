"""Draws one thing: its outline, its texture, its noisy ground. Everything comes from ``rng``."""

import cv2
import numpy as np

from mmclip.datasets.mini_world.world import COLORS, Thing

SUPERSAMPLING = 4
_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


def _regular(corners: int, radius: float = 1.0, start: float = -np.pi / 2) -> np.ndarray:
    angle = start + 2 * np.pi * np.arange(corners) / corners
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _star() -> np.ndarray:
    outer, inner = _regular(5), _regular(5, 0.42, -np.pi / 2 + np.pi / 5)
    return np.stack([outer, inner], 1).reshape(-1, 2)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y + 2], 1) / 16


def _moon() -> np.ndarray:
    outer = np.linspace(0.25 * np.pi, 1.75 * np.pi, 40)
    inner = np.linspace(1.62 * np.pi, 0.38 * np.pi, 40)
    tip = np.stack([np.cos(outer), np.sin(outer)], 1)
    hollow = np.stack([0.35 + 0.75 * np.cos(inner), 0.75 * np.sin(inner)], 1)
    return np.concatenate([tip, hollow]) + [0.25, 0]


# Outlines in a unit circle, x to the right and y down. A ring also has a hole.
_OUTLINES = {
    'circle': _regular(48, 0.95),
    'square': _regular(4, 1.1, np.pi / 4),
    'triangle': _regular(3, 1.1) + [0, 0.15],
    'star': _star() * 1.1,
    'cross': np.array(
        [[-1, 3], [1, 3], [1, 1], [3, 1], [3, -1], [1, -1]]
        + [[1, -3], [-1, -3], [-1, -1], [-3, -1], [-3, 1], [-1, 1]]
    )
    / 3,
    'moon': _moon(),
    'house': np.array(
        [[0, -1], [1, -0.1], [0.65, -0.1], [0.65, 0.9], [-0.65, 0.9], [-0.65, -0.1], [-1, -0.1]]
    ),
    'bolt': np.array(
        [[0.25, -1], [-0.6, 0.15], [-0.05, 0.15], [-0.3, 1], [0.6, -0.2], [0.05, -0.2]]
    )
    * [1.2, 1],
    'heart': _heart(),
    'ring': _regular(48, 0.95),
    'arrow': np.array(
        [[1, 0], [0.2, -0.8], [0.2, -0.3], [-1, -0.3], [-1, 0.3], [0.2, 0.3], [0.2, 0.8]]
    ),
    'diamond': np.array([[0, -1.05], [0.7, 0], [0, 1.05], [-0.7, 0]]),
}
RING_HOLE = 0.5


def outlines(shape: str) -> list[np.ndarray]:
    """Closed outlines of a shape, of its hole too, in about a unit circle; (N, 2) x, y each."""
    holes = [_regular(48, RING_HOLE)] if shape == 'ring' else []
    return [np.asarray(_OUTLINES[shape], np.float64), *holes]


def outline_mask(shape: str, size: int, angle: float) -> np.ndarray:
    """Coverage of a shape in a square of ``size`` pixels.

    Args:
        shape: One of ``world.SHAPES``.
        size: Side in pixels.
        angle: Rotation in radians.

    Returns:
        (size, size) float32 in [0, 1], antialiased.
    """
    large = size * SUPERSAMPLING
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mask = np.zeros((large, large), np.uint8)
    outlines = [(_OUTLINES[shape], 255)]
    if shape == 'ring':
        outlines.append((_regular(48, RING_HOLE), 0))
    for points, value in outlines:
        pixels = (0.44 * points @ rotation.T + 0.5) * large * 2**_SHIFT
        cv2.fillPoly(mask, [np.round(pixels).astype(np.int32)], value, cv2.LINE_8, _SHIFT)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def texture_pattern(texture: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Where a texture is dark: (size, size) float32 in [0, 1]; its period is 1/4 of the size."""
    period = size * rng.uniform(0.22, 0.3)
    offset = rng.uniform(0, period, 2)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    u, v = (x + offset[0]) / period, (y + offset[1]) / period
    if texture == 'plain':
        return np.zeros((size, size), np.float32)
    if texture == 'striped':
        return ((u + v) % 1 < 0.45).astype(np.float32)
    if texture == 'dotted':
        return ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.34**2).astype(np.float32)
    return ((u % 1 < 0.5) ^ (v % 1 < 0.5)).astype(np.float32)


def background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Grayish clouds with noise: (height, width, 3) float32 in [0, 255]."""
    clouds = rng.uniform(40, 190, (4, 4, 1)) + rng.uniform(-18, 18, (4, 4, 3))
    ground = cv2.resize(clouds.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(ground + rng.normal(0, 12, ground.shape), 0, 255).astype(np.float32)


def paint(
    image: np.ndarray, thing: Thing, left: int, top: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Paint a thing onto an image in place.

    Args:
        image: (H, W, 3) float32 RGB.
        thing: What to paint.
        left, top: Corner of its square in pixels; it may reach over the border.
        size: Side of its square in pixels.

    Returns:
        (H, W) bool mask of the visible thing.
    """
    coverage = outline_mask(thing.shape, size, rng.uniform(-0.3, 0.3))
    dark = texture_pattern(thing.texture, size, rng)[..., None]
    color = np.array(COLORS[thing.color], np.float32) * rng.uniform(0.88, 1.05)
    paint_ = np.clip(color * (1 - 0.72 * dark) + rng.normal(0, 8, (size, size, 3)), 0, 255)

    height, width = image.shape[:2]
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + size, width), min(top + size, height)
    inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    alpha = coverage[inside][..., None]
    image[y1:y2, x1:x2] = image[y1:y2, x1:x2] * (1 - alpha) + paint_[inside] * alpha
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = alpha[..., 0] > 0.5
    return mask
