"""Augmentation of point clouds; everything is drawn from NumPy's global generator."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmclip.registry import TRANSFORMS


def _pair(name: str, values: Sequence[float], low: float, high: float) -> tuple[float, float]:
    pair = tuple(values)
    if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
        raise ValueError(
            f'{name}: {values}; needed are two numbers, {low} <= low <= high <= {high}'
        )
    return pair


def scale_shift(points: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Scale and then shift each axis: (N, 3) float32, computed in float64.

    Source: the training transform of PointCLIP's official dataset of ModelNet40.

    Args:
        points: (N, 3).
        scale: (3,).
        shift: (3,).
    """
    return (np.asarray(points, np.float64) * scale + shift).astype(np.float32)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation matrix (3, 3), Ry(yaw) Rx(pitch) Rz(roll), float64; y is up, angles in degrees."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


@TRANSFORMS.register_module()
class RandomScaleShiftPoints(BaseTransform):
    """Scale and shift each axis by numbers drawn anew per cloud.

    Args:
        scale: Range of the factors.
        shift: Range of the shifts, in the cloud's unit.

    Raises:
        ValueError: a range that is none.
    """

    def __init__(
        self, *, scale: Sequence[float] = (2 / 3, 3 / 2), shift: Sequence[float] = (-0.2, 0.2)
    ) -> None:
        self.scale = _pair('scale', scale, 0, np.inf)
        self.shift = _pair('shift', shift, -np.inf, np.inf)

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        rng = np.random.mtrand._rand
        scale, shift = rng.uniform(*self.scale, 3), rng.uniform(*self.shift, 3)
        results['points'] = scale_shift(results['points'], scale, shift)
        return results


@TRANSFORMS.register_module()
class ShufflePoints(BaseTransform):
    """Put the points into random order."""

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        order = np.random.mtrand._rand.permutation(len(results['points']))
        results['points'] = results['points'][order]
        return results


@TRANSFORMS.register_module()
class RandomRotatePoints(BaseTransform):
    """Rotate about the origin by angles drawn uniformly from -limit to limit, in degrees.

    Args:
        yaw: Limit about y, the axis that is up; 180 is any direction.
        pitch: Limit about x.
        roll: Limit about z.

    Raises:
        ValueError: a negative limit.
    """

    def __init__(self, *, yaw: float = 180.0, pitch: float = 0.0, roll: float = 0.0) -> None:
        for name, value in (('yaw', yaw), ('pitch', pitch), ('roll', roll)):
            if not 0 <= value <= 180:
                raise ValueError(f'{name}: {value}; allowed are 0 to 180 degrees')
        self.limits = (yaw, pitch, roll)

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        angles = np.random.mtrand._rand.uniform(-1, 1, 3) * self.limits
        turned = np.asarray(results['points'], np.float64) @ rotation(*angles).T
        results['points'] = turned.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class CutPoints(BaseTransform):
    """Cut a half-space off, as where an object is hidden or at the border of a scan.

    The points farthest in a random direction go; the number of points stays, by random repetitions
    of those that are left.

    Args:
        share: Range of the share that goes.
        prob: Of a cut.

    Raises:
        ValueError: a range outside 0 to 1, or a share of 1; a probability that is none.
    """

    def __init__(self, *, share: Sequence[float] = (0.0, 0.3), prob: float = 1.0) -> None:
        self.share = _pair('share', share, 0, 1)
        if self.share[1] == 1:
            raise ValueError(f'share: {share}; a share of 1 leaves nothing')
        if not 0 <= prob <= 1:
            raise ValueError(f'prob: {prob}; allowed are 0 to 1')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        rng = np.random.mtrand._rand
        if rng.random() >= self.prob:
            return results
        points = results['points']
        left = max(1, len(points) - int(len(points) * rng.uniform(*self.share)))
        depth = points @ rng.normal(size=3).astype(points.dtype)
        kept = np.sort(np.argpartition(depth, left - 1)[:left])
        more = kept[rng.randint(left, size=len(points) - left)]
        results['points'] = points[np.concatenate([kept, more])]
        return results


@TRANSFORMS.register_module()
class JitterPoints(BaseTransform):
    """Add normal noise to each coordinate.

    Args:
        std: Standard deviation, in the cloud's unit.
        clip: Largest change; no limit if None.

    Raises:
        ValueError: a negative number.
    """

    def __init__(self, *, std: float = 0.01, clip: float | None = 0.05) -> None:
        for name, value in (('std', std), ('clip', clip)):
            if value is not None and value < 0:
                raise ValueError(f'{name}: {value}; allowed are 0 and more')
        self.std, self.clip = std, clip

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        points = results['points']
        noise = np.random.mtrand._rand.normal(0, self.std, points.shape)
        if self.clip is not None:
            noise = noise.clip(-self.clip, self.clip)
        results['points'] = (points + noise).astype(np.float32)
        return results
