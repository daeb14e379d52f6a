"""Point clouds: loading, choosing points, normalization and packing.

The results carry ``points``, float32 (N, 3), and ``points_path`` where they come from a file.
Augmentation is in ``point_augment.py``.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from mmclip.io.point_file import check_points, read_points
from mmclip.io.point_pose import check_axis, turn_up, unit_sphere
from mmclip.registry import TRANSFORMS


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of farthest point sampling: each is the point farthest from those chosen before.

    The first one is the point farthest from the mean. One pass over the points per index, as each
    depends on all before.

    Args:
        points: (N, 3).
        count: M, at most N.

    Shapes:
        (M,) int64.
    """
    points = points.astype(np.float64)
    nearest = np.square(points - points.mean(0)).sum(1)
    chosen = np.empty(count, np.int64)
    for index in range(count):
        chosen[index] = best = nearest.argmax()
        distance = np.square(points - points[best]).sum(1)
        nearest = np.minimum(nearest, distance) if index else distance
    return chosen


def repeated(count: int, wanted: int) -> np.ndarray:
    """Indices 0 ... count - 1, over and over, ``wanted`` in all."""
    return np.arange(wanted) % count


def _checked_number(num_points: int) -> int:
    if num_points < 1:
        raise ValueError(f'num_points: {num_points}; allowed are 1 and more')
    return num_points


@TRANSFORMS.register_module()
class LoadPoints(BaseTransform):
    """Read ``points_path`` into ``points``; what the dataset has read already is checked only.

    Args:
        num_points: As :func:`mmclip.io.point_file.read_points`, for files.
        seed: Of the points drawn on a mesh, the same in every epoch.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.point_file.read_points`.
    """

    def __init__(self, *, num_points: int | None = None, seed: int = 0) -> None:
        self.num_points = None if num_points is None else _checked_number(num_points)
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Sets ``points``."""
        if results.get('points') is not None:
            name = f'points: {results.get("points_path", "a point cloud")}'
            points = check_points(np.asarray(results['points']), name)
            results['points'] = points.astype(np.float32)
            return results
        path = results['points_path']
        results['points'] = read_points(
            path, self.num_points, seed=self.seed, name=f'points_path: {path}'
        )
        return results


@TRANSFORMS.register_module()
class FirstNPoints(BaseTransform):
    """Keep the first N points, as PointCLIP does; of fewer all, over and over.

    Args:
        num_points: N.
    """

    def __init__(self, *, num_points: int = 1024) -> None:
        self.num_points = _checked_number(num_points)

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        points = results['points']
        if len(points) >= self.num_points:
            results['points'] = points[: self.num_points]
        else:
            results['points'] = points[repeated(len(points), self.num_points)]
        return results


@TRANSFORMS.register_module()
class SamplePoints(BaseTransform):
    """Choose N points; of fewer all, over and over.

    Args:
        num_points: N.
        method: ``'random'``: without replacement, anew each time; ``'farthest'``:
            :func:`farthest_points`, always the same.

    Raises:
        ValueError: another method.
    """

    def __init__(self, *, num_points: int = 1024, method: str = 'random') -> None:
        self.num_points = _checked_number(num_points)
        if method not in ('random', 'farthest'):
            raise ValueError(f"method: {method!r}; allowed are 'random' and 'farthest'")
        self.method = method

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        points = results['points']
        if len(points) <= self.num_points:
            chosen = repeated(len(points), self.num_points)
        elif self.method == 'farthest':
            chosen = farthest_points(points, self.num_points)
        else:
            chosen = np.random.mtrand._rand.permutation(len(points))[: self.num_points]
        results['points'] = points[chosen]
        return results


@TRANSFORMS.register_module()
class UnitSphereNormalize(BaseTransform):
    """Move the mean of the points to the origin and the farthest point onto the unit sphere.

    PointCLIP's cameras stand 1.4 to 1.8 from the origin: a cloud in millimeters is behind them or
    all around them. ModelNet's h5 files are normalized already.
    """

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        results['points'] = unit_sphere(results['points'])
        return results


@TRANSFORMS.register_module()
class AxisUp(BaseTransform):
    """Turn a cloud so that y is up, which PointCLIP's views take for granted.

    The axes are permuted by a rotation by 90 or 180 degrees, so nothing is mirrored. The clouds of
    ModelNet (h5 and txt) and ScanObjectNN have y up already; ModelNet's OFF meshes and most scans
    have z up.

    Args:
        up: The axis that is up in the data: ``'x'``, ``'y'``, ``'z'``, or with a minus where it
            points down.

    Raises:
        ValueError: another axis.
    """

    def __init__(self, *, up: str = 'z') -> None:
        self.up = check_axis(up)

    def transform(self, results: dict) -> dict:
        """Changes ``points``."""
        results['points'] = turn_up(results['points'], self.up)
        return results


@TRANSFORMS.register_module()
class PackPointInputs(BaseTransform):
    """Pack ``inputs``, float32 (N, 3), and a data sample with ``gt_label`` if it is known.

    Args:
        meta_keys: Keys of the results that go into the sample's meta information.
    """

    def __init__(
        self, *, meta_keys: Sequence[str] = ('points_path', 'sample_index', 'split')
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Gives ``inputs`` and ``data_samples``."""
        points = np.ascontiguousarray(results['points'], np.float32)
        sample = BaseDataElement(metainfo={k: results[k] for k in self.meta_keys if k in results})
        if results.get('gt_label') is not None:
            sample.gt_label = torch.tensor(int(results['gt_label']))
        return dict(inputs=torch.from_numpy(points.copy()), data_samples=sample)
