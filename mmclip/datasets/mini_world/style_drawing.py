"""Draws the outline of a shape in other styles: line drawings, silhouettes, flat colors."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmclip.datasets.mini_world.draw import outlines
from mmclip.datasets.mini_world.world import COLORS

STYLE_SIZE = 48
_SUPERSAMPLING = 4
_SHIFT = 4  # fractional bits of OpenCV's coordinates
_POINTS = 120  # along an outline
_KNOTS = 14  # of a wobble
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def _along(outline: np.ndarray) -> np.ndarray:
    """(_POINTS, 2) points at equal distances along a closed outline."""
    closed = np.concatenate([outline, outline[:1]])
    lengths = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])
    where = np.arange(_POINTS) / _POINTS * at[-1]
    return np.stack([np.interp(where, at, closed[:, axis]) for axis in (0, 1)], 1)


def _wobble(points: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Points moved by a smooth closed noise."""
    noise = rng.normal(0, strength, (_KNOTS, 2))
    noise = np.concatenate([noise, noise[:1]])
    where = np.arange(len(points)) / len(points) * _KNOTS
    return points + np.stack(
        [np.interp(where, np.arange(_KNOTS + 1), noise[:, axis]) for axis in (0, 1)], 1
    )


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(2, 2) matrix and (2,) shift from the unit circle to an image of side 1."""
    angle, stretch = rng.uniform(-0.3, 0.3), rng.uniform(-0.12, 0.12, 2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = 0.44 * rng.uniform(0.6, 1.0)
    return scale * np.diag(np.exp(stretch)) @ rotation, 0.5 + rng.uniform(-0.06, 0.06, 2)


def _fixed(points: np.ndarray, size: int) -> np.ndarray:
    return np.round(points * size * _SUPERSAMPLING * 2**_SHIFT).astype(np.int32)


def _blend(
    coverage: np.ndarray, ink: Sequence[float], ground: Sequence[float], size: int
) -> np.ndarray:
    """(S, S, 3) uint8 from coverage in 0 to 255, enlarged."""
    alpha = cv2.resize(coverage, (size, size), interpolation=cv2.INTER_AREA)[..., None] / 255.0
    mixed = np.array(ground) * (1 - alpha) + np.array(ink) * alpha
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _gaps(rng: np.random.Generator) -> np.ndarray:
    """(_POINTS,) bool: which steps of an outline are drawn."""
    drawn = np.ones(_POINTS, bool)
    if rng.random() < 0.4:
        for _ in range(rng.integers(1, 4)):
            start, length = rng.integers(_POINTS), int(_POINTS * rng.uniform(0.02, 0.08))
            drawn[(start + np.arange(length)) % _POINTS] = False
    return drawn


def grays(rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ink and ground: two grays that differ clearly."""
    dark, light = rng.uniform(0, 110), rng.uniform(150, 255)
    pair = ((dark,) * 3, (light,) * 3)
    return pair if rng.random() < 0.5 else pair[::-1]


def colored(color: str, rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ink of a color, and white, black or light gray ground."""
    ink = np.array(COLORS[color]) * rng.uniform(0.88, 1.05)
    ground = (WHITE, WHITE, BLACK, (200, 200, 200))[rng.integers(4)]
    return tuple(np.clip(ink, 0, 255)), ground


def draw_lines(
    shape: str,
    ink: Sequence[float],
    ground: Sequence[float],
    rng: np.random.Generator,
    size: int = STYLE_SIZE,
) -> np.ndarray:
    """A line drawing of a shape: wobbly lines of one width, some with gaps, some drawn twice.

    Args:
        shape: One of ``world.SHAPES``.
        ink, ground: Colors of the lines and of what is behind them, RGB.
        rng: Decides pose, width (1.2 to 5 % of the side), wobble and gaps.
        size: Side in pixels.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    matrix, shift = _pose(rng)
    strength = rng.uniform(0, 0.05)
    width = max(round(rng.uniform(0.012, 0.05) * size * _SUPERSAMPLING), 1)
    coverage = np.zeros((size * _SUPERSAMPLING,) * 2, np.uint8)
    for _ in range(1 + (rng.random() < 0.2)):
        for outline in outlines(shape):
            points = _fixed(_wobble(_along(outline), strength, rng) @ matrix.T + shift, size)
            steps = np.stack([points, np.roll(points, -1, 0)], 1)[_gaps(rng)]
            cv2.polylines(coverage, list(steps), False, 255, width, cv2.LINE_8, _SHIFT)
    return _blend(coverage, ink, ground, size)


def draw_filled(
    shape: str,
    ink: Sequence[float],
    ground: Sequence[float],
    rng: np.random.Generator,
    size: int = STYLE_SIZE,
) -> np.ndarray:
    """A silhouette of a shape; arguments and result as :func:`draw_lines`."""
    matrix, shift = _pose(rng)
    strength = rng.uniform(0, 0.025)
    rings = [
        _fixed(_wobble(_along(outline), strength, rng) @ matrix.T + shift, size)
        for outline in outlines(shape)
    ]
    coverage = np.zeros((size * _SUPERSAMPLING,) * 2, np.uint8)
    cv2.fillPoly(coverage, rings, 255, cv2.LINE_8, _SHIFT)  # even-odd: a hole stays one
    if rng.random() < 0.3:  # out of focus
        coverage = cv2.GaussianBlur(coverage, (0, 0), size * _SUPERSAMPLING * rng.uniform(0, 0.02))
    return _blend(coverage, ink, ground, size)
