"""Shapes of MiniWorld extruded to solids: as meshes, and as clouds of points on their surface."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from mmclip.datasets.mini_world.draw import outlines

_MASK_SIZE = 512
_EXTENT = 1.25  # of the mask, in units of an outline
_EPS = 1e-9


@cache
def _rings(shape: str) -> tuple[np.ndarray, ...]:
    """Outlines with y up: the outer one counter-clockwise, a hole clockwise."""
    rings = []
    for index, outline in enumerate(outlines(shape)):
        points = outline * [1, -1]
        x, y = points.T
        area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
        rings.append(points if (area > 0) == (index == 0) else points[::-1])
    return tuple(rings)


@cache
def _cells(shape: str) -> tuple[np.ndarray, float]:
    """(M, 2) centers of the cells of a fine grid that lie in a shape, and the side of a cell."""
    mask = np.zeros((_MASK_SIZE, _MASK_SIZE), np.uint8)
    scale = _MASK_SIZE / (2 * _EXTENT)
    fixed = [np.round((ring + _EXTENT) * scale * 16 - 8).astype(np.int32) for ring in _rings(shape)]
    cv2.fillPoly(mask, fixed, 1, cv2.LINE_8, 4)
    rows, columns = np.nonzero(mask)
    return (np.stack([columns, rows], 1) + 0.5) / scale - _EXTENT, 1 / scale


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _is_ear(points: np.ndarray, polygon: list[int], at: int) -> bool:
    """Whether the corner at ``at`` is convex and no other corner lies in its triangle."""
    a, b, c = (points[polygon[(at + k) % len(polygon)]] for k in (-1, 0, 1))
    if _cross(b - a, c - b) <= _EPS:
        return False
    others = [polygon[(at + k) % len(polygon)] for k in range(2, len(polygon) - 1)]
    rest = points[others]
    inside = (_cross(b - a, rest - a) >= 0) & (_cross(c - b, rest - b) >= 0)
    return not (inside & (_cross(a - c, rest - c) >= 0)).any()


@cache
def triangulate(shape: str) -> np.ndarray:
    """Triangles of a shape's face: (F, 3) int64 indices into its concatenated outlines.

    By ear clipping; a hole with as many points as its outline is joined to it by a strip.
    """
    rings = _rings(shape)
    if len(rings) == 2:
        number = len(rings[0])
        outer = np.arange(number)
        after = (outer + 1) % number
        inner = number + (number - 1 - outer)  # the hole runs the other way
        following = number + (number - 1 - after)
        strips = [np.stack([outer, after, following], 1), np.stack([outer, following, inner], 1)]
        return np.concatenate(strips)
    polygon, triangles = list(range(len(rings[0]))), []
    while len(polygon) > 3:
        ear = next(i for i in range(len(polygon)) if _is_ear(rings[0], polygon, i))
        triangles.append([polygon[(ear + k) % len(polygon)] for k in (-1, 0, 1)])
        del polygon[ear]
    return np.array([*triangles, polygon])


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """(3, 3) matrix that turns by roll about z, then pitch about x, then yaw about y; radians."""

    def turn(angle: float, i: int, j: int) -> np.ndarray:
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    return turn(yaw, 2, 0) @ turn(pitch, 1, 2) @ turn(roll, 0, 1)


@dataclass(frozen=True)
class Extrusion:
    """A shape with a thickness, turned; y is up and its face looks along z.

    Args:
        shape: One of ``world.SHAPES``.
        thickness: In units of the outline, whose radius is about 1.
        turn: (3, 3) rotation.
    """

    shape: str
    thickness: float
    turn: np.ndarray

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """(V, 3) vertices and (F, 3) int64 triangles that look outwards."""
        rings, front = _rings(self.shape), triangulate(self.shape)
        flat = np.concatenate(rings)
        number = len(flat)
        half = np.full((number, 1), self.thickness / 2)
        vertices = np.concatenate([np.hstack([flat, half]), np.hstack([flat, -half])])
        faces, start = [front, front[:, ::-1] + number], 0
        for ring in rings:
            here = start + np.arange(len(ring))
            after = start + (np.arange(len(ring)) + 1) % len(ring)
            faces.append(np.stack([here, here + number, after + number], 1))
            faces.append(np.stack([here, after + number, after], 1))
            start += len(ring)
        return vertices @ self.turn.T, np.concatenate(faces)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """``count`` points of the surface, by area: (N, 3) points and (N, 3) unit normals."""
        cells, side = _cells(self.shape)
        starts = np.concatenate(_rings(self.shape))
        edges = np.concatenate([np.roll(ring, -1, 0) - ring for ring in _rings(self.shape)])
        lengths = np.linalg.norm(edges, axis=1)
        face, wall = len(cells) * side**2, lengths.sum() * self.thickness
        kind = rng.choice(3, count, p=np.array([face, face, wall]) / (2 * face + wall))
        kind.sort()
        on_faces = int((kind < 2).sum())
        flat = cells[rng.integers(len(cells), size=on_faces)]
        flat = flat + rng.uniform(-side / 2, side / 2, flat.shape)
        edge = rng.choice(len(edges), count - on_faces, p=lengths / lengths.sum())
        along = starts[edge] + edges[edge] * rng.random((len(edge), 1))
        looks = np.where(kind[:on_faces] == 0, 1.0, -1.0)
        heights = np.concatenate([looks / 2, rng.uniform(-0.5, 0.5, len(edge))])
        points = np.hstack([np.concatenate([flat, along]), heights[:, None] * self.thickness])
        normals = np.zeros((count, 3))
        normals[:on_faces, 2] = looks
        normals[on_faces:, 0] = edges[edge, 1] / lengths[edge]
        normals[on_faces:, 1] = -edges[edge, 0] / lengths[edge]
        order = rng.permutation(count)  # so that the first points are a sample, too
        return points[order] @ self.turn.T, normals[order] @ self.turn.T
