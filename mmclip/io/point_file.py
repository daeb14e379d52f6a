"""Point cloud files: one reader for every format, with limits and errors that name the file."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmclip.io.arrays import read_npy, read_npz
from mmclip.io.image import check_regular_file
from mmclip.io.mesh_file import optional_module, read_mesh, sample_surface
from mmclip.io.parsing import parsing
from mmclip.io.pcd_file import read_pcd_points
from mmclip.io.ply_file import read_ply_points
from mmclip.io.point_text import read_text_points

MESH_POINTS = 10_000  # sampled on a mesh by default, as in ModelNet's resampled files
_EPSILON = 2.0**-23  # of float32
_PRECISION = 1e-4  # of the extent


def _read_array(path: Path, size: int) -> np.ndarray:
    return read_npy(path)


def _read_archive(path: Path, size: int) -> np.ndarray:
    arrays = read_npz(path)
    if 'points' not in arrays:
        raise ValueError(f"holds the arrays {', '.join(arrays) or 'none'}, none named 'points'")
    return arrays['points']


_POINTS: dict[str, Callable[[Path, int], np.ndarray | None]] = {
    '.ply': read_ply_points,
    '.pcd': read_pcd_points,
    '.npy': _read_array,
    '.npz': _read_archive,
    '.xyz': read_text_points,
    '.txt': read_text_points,
    '.pts': read_text_points,
}
_MESHES = ('.off', '.obj', '.stl')
POINT_SUFFIXES = (*_POINTS, *_MESHES)


def read_points(
    path: str | os.PathLike, num_points: int | None = None, *, seed: int = 0, name: str = ''
) -> np.ndarray:
    """Read the points of a file: xyz, float32 (N, 3), in the file's order and units.

    A mesh with faces (ply, off, obj, stl) is sampled uniformly by area; one without faces is the
    set of its vertices. Other columns (normals, colors, intensity) are ignored. Where float32 could
    not tell neighboring points apart, as with coordinates of a map (millions of meters around an
    object of one), the center of the bounding box is subtracted.

    Args:
        path: A file of :data:`POINT_SUFFIXES`: ply and pcd (ascii or binary), off, obj, stl, npy
            (N, 3 or more), npz (array ``points``), xyz, txt and pts (spaces or commas).
        num_points: N. Of more points it is a random subset in the file's order, of fewer all of
            them and random repetitions. None: all, and :data:`MESH_POINTS` of a mesh.
        seed: Of what is random; the same seed gives the same points.
        name: What errors call the file; by default its path.

    Raises:
        FileNotFoundError: no such file.
        ImportError: a mesh without trimesh.
        ValueError: another type of file; one that is empty, damaged or cut off, has a NaN or
            infinite coordinate, one point only or all points at one place; a bad ``num_points``.
    """
    path = Path(path)
    name = name or str(path)
    if num_points is not None and num_points < 1:
        raise ValueError(f'num_points: {num_points}; allowed are 1 and more, or None for all')
    suffix = path.suffix.lower()
    if suffix not in POINT_SUFFIXES:
        raise ValueError(
            f'{name} is of the type {suffix or "(none)"}; point clouds are read from '
            f'{", ".join(POINT_SUFFIXES)}'
        )
    check_regular_file(path, name)
    size = path.stat().st_size
    if not size:
        raise ValueError(f'{name} is empty')
    points = None
    if suffix in _POINTS:
        with parsing(name):
            points = _POINTS[suffix](path, size)
    triangles = ()
    if points is None:
        trimesh = optional_module('trimesh', f'{name}: reading a mesh')
        with parsing(name):
            points, triangles = read_mesh(path, size, trimesh)
    points = check_points(points, name)
    if len(triangles):
        with parsing(name):
            points = sample_surface(points, triangles, num_points or MESH_POINTS, seed=seed)
        return _as_float32(points)
    points = _as_float32(points)
    return points if num_points is None else _choose(points, num_points, seed)


def check_points(points: np.ndarray, name: str) -> np.ndarray:
    """The first three columns of an array of points.

    Args:
        points: (N, 3 or more), real numbers.
        name: What errors begin with.

    Shapes:
        (N, 3), of the array's own type, or float64 if it is an integer.

    Raises:
        ValueError: another shape or type, no or one point, NaN or infinite numbers (their number
            and the first are named), all points equal.
    """
    if points.dtype.kind not in 'fiu':
        raise ValueError(f'{name}: points are numbers, the array holds {points.dtype}')
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f'{name}: points are (N, 3 or more), the array is {points.shape}')
    if not len(points):
        raise ValueError(f'{name} holds no point')
    points = points[:, :3] if points.dtype.kind == 'f' else points[:, :3].astype(np.float64)
    low, high = points.min(0), points.max(0)  # NaN and infinities stay
    if not np.isfinite(low).all() or not np.isfinite(high).all():
        bad = np.flatnonzero(~np.isfinite(points).all(1))
        raise ValueError(
            f'{name}: {len(bad)} of {len(points)} points are NaN or infinite, the first is '
            f'number {bad[0]} (from 0): {points[bad[0]].tolist()}; remove them'
        )
    if max(np.abs(low).max(), np.abs(high).max()) > np.finfo(np.float32).max:
        raise ValueError(f'{name}: the coordinates exceed what float32 holds; scale them down')
    if len(points) == 1:
        raise ValueError(f'{name} holds one point, which has no shape')
    if (low == high).all():
        raise ValueError(f'{name}: all {len(points)} points are at {low.tolist()}')
    return points


def _as_float32(points: np.ndarray) -> np.ndarray:
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    farthest = max(np.abs(low).max(), np.abs(high).max())
    if points.dtype == np.float64 and farthest * _EPSILON > _PRECISION * (high - low).max():
        points = points - (low + high) / 2
    return np.ascontiguousarray(points, np.float32)


def _choose(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng, number = np.random.default_rng(seed), len(points)
    if count <= number:
        return points[np.sort(rng.choice(number, count, replace=False))]
    return np.concatenate([points, points[rng.integers(number, size=count - number)]])
