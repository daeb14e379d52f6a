"""Surface meshes by trimesh, and points sampled on them by area."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np

MAX_MESH_BYTES = 1 << 29  # trimesh holds several copies of a mesh
SAMPLE_CHUNK = 1 << 20  # points at once


def optional_module(name: str, purpose: str) -> ModuleType:
    """A module of the extra ``points``.

    Raises:
        ImportError: it is not installed; the message names the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}; `pip install "mmclip[points]"` or `pip install {name}`'
        ) from error


def read_mesh(path: Path, size: int, trimesh: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3), float64, and triangles (F, 3) of a ply, off, obj or stl file.

    Nothing but the file is read: no materials, no textures.

    Args:
        path: The file.
        size: Its bytes.
        trimesh: The package, of any version from 4 on.

    Raises:
        ValueError: larger than :data:`MAX_MESH_BYTES`, damaged, a triangle of no vertex.
    """
    if size > MAX_MESH_BYTES:
        raise ValueError(
            f'has {size} bytes, meshes are read up to {MAX_MESH_BYTES}; save it as points (a '
            'binary ply, pcd or npy file)'
        )
    kind = path.suffix.lower()[1:]
    if kind == 'off':
        _check_off(path)
    if kind == 'stl':
        _check_stl(path, size)
    with path.open('rb') as stream:  # of a stream trimesh finds no other files
        loaded = trimesh.load_scene(
            stream, file_type=kind, process=False, skip_materials=True, resolver=None
        )
    vertices, triangles, offset = [], [], 0
    for geometry in loaded.dump():
        own = np.asarray(geometry.vertices, np.float64).reshape(-1, 3)
        faces = np.asarray(getattr(geometry, 'faces', ()), np.int64).reshape(-1, 3)
        if len(faces) and not 0 <= faces.min() <= faces.max() < len(own):
            raise ValueError(f'has a triangle of a vertex that is not among its {len(own)}')
        vertices.append(own)
        triangles.append(faces + offset)
        offset += len(own)
    if not vertices:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return np.concatenate(vertices), np.concatenate(triangles)


def _check_off(path: Path) -> None:
    """Compare the counts of an OFF file with its lines; they may stand behind ``OFF``.

    Several hundred files of ModelNet begin with ``OFF490 518 0`` in one line.

    Raises:
        ValueError: no OFF file, or one with fewer lines than it announces.
    """
    with path.open('rb') as stream:
        kept = (line.split(b'#')[0].strip() for line in stream)
        lines = (line for line in kept if line)
        first = next(lines, b'').upper()
        if not first.startswith((b'OFF', b'COFF')):
            raise ValueError("is no OFF file: its first line does not begin with 'OFF'")
        counts = first.partition(b'OFF')[2].split() or next(lines, b'').split()
        if len(counts) < 2 or not all(word.isdigit() for word in counts[:2]):
            raise ValueError('has no line with the numbers of its vertices and faces')
        vertices, faces = int(counts[0]), int(counts[1])
        found = sum(1 for _ in lines)
    if found < vertices + faces:
        raise ValueError(
            f'is cut off: it announces {vertices} vertices and {faces} faces and has {found} lines'
        )


def _check_stl(path: Path, size: int) -> None:
    """Compare the number of triangles of a binary STL file with its size.

    Raises:
        ValueError: neither an ascii nor a whole binary STL file.
    """
    with path.open('rb') as stream:
        head = stream.read(84)
    count = int.from_bytes(head[80:], 'little')
    if head[:5].lower() != b'solid' and (len(head) < 84 or 84 + 50 * count > size):
        raise ValueError(f'is no STL file or is cut off: {count} triangles in {size} bytes')


def sample_surface(
    vertices: np.ndarray, triangles: np.ndarray, count: int, *, seed: int = 0
) -> np.ndarray:
    """Points drawn uniformly by area on triangles.

    A triangle is drawn with a probability proportional to its area, a point in it by
    ``a + u (b - a) + v (c - a)`` with (u, v) uniform in the unit square, folded where u + v > 1.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) indices.
        count: Points N.
        seed: Of the draw.

    Shapes:
        (N, 3), float64.

    Raises:
        ValueError: no area.
    """
    corners = vertices[triangles]  # (F, 3, 3)
    sides = corners[:, 1:] - corners[:, :1]  # (F, 2, 3)
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    total = areas.sum()
    if not 0 < total < np.inf:
        raise ValueError(f'has {len(triangles)} triangles whose area is {total}')
    ends = np.cumsum(areas / total)
    rng = np.random.default_rng(seed)
    points = np.empty((count, 3))
    for start in range(0, count, SAMPLE_CHUNK):
        number = min(SAMPLE_CHUNK, count - start)
        drawn = np.searchsorted(ends, rng.random(number) * ends[-1], side='right')
        drawn = np.minimum(drawn, len(triangles) - 1)
        weights = rng.random((number, 2, 1))
        folded = np.where(weights.sum(1, keepdims=True) > 1, 1 - weights, weights)
        points[start : start + number] = corners[drawn, 0] + (folded * sides[drawn]).sum(1)
    return points
