"""Where a point cloud is and which way is up: what views of it take for granted."""

import numpy as np

# What turns an axis up onto y: a proper rotation each, so nothing is mirrored.
_UP = {
    'x': ((1, -1), (0, 1), (2, 1)),
    'y': ((0, 1), (1, 1), (2, 1)),
    'z': ((0, 1), (2, 1), (1, -1)),
    '-x': ((1, 1), (0, -1), (2, 1)),
    '-y': ((0, 1), (1, -1), (2, -1)),
    '-z': ((0, 1), (2, -1), (1, 1)),
}


def unit_sphere(points: np.ndarray) -> np.ndarray:
    """Subtract the mean and divide by the largest distance from it: float32 (N, 3).

    Computed in float64; the result does not depend on the unit (meters, millimeters).

    Raises:
        ValueError: all points equal.
    """
    centered = points.astype(np.float64)
    centered -= centered.sum(0) / max(1, len(centered))
    radius = np.sqrt(np.square(centered).sum(1).max(initial=0))
    if not 0 < radius < np.inf:
        raise ValueError(f'points: {len(points)} points with the radius {radius} have no shape')
    return (centered / radius).astype(np.float32)


def turn_up(points: np.ndarray, up: str) -> np.ndarray:
    """Turn the axis ``up`` onto +y by a rotation that permutes the axes: (N, 3) -> (N, 3)."""
    columns, signs = zip(*_UP[up], strict=True)
    return points[:, columns] * np.array(signs, points.dtype)


def check_axis(up: str, name: str = 'up') -> str:
    """Return the name of an axis.

    Raises:
        ValueError: another word than x, y, z, -x, -y, -z.
    """
    if up not in _UP:
        raise ValueError(f'{name}: {up!r}; allowed are {", ".join(_UP)}')
    return up
