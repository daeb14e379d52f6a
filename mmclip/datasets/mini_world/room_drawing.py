"""Draws a box-shaped room by ray and plane, with things standing on its floor, and its haze."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmclip.datasets.mini_world.draw import paint
from mmclip.datasets.mini_world.world import Thing

ROOM_SIZE = 128
FOCAL_LENGTH = 100.0  # pixels: a field of view of 65 degrees
MAX_DEPTH = 10.0  # meters; a room that reaches farther is drawn again
AIR = (205, 210, 220)  # color of the haze
HAZE_LENGTH = 5.0  # meters after which 1/e of a color is left
SURFACES = ('floor', 'ceiling', 'back wall', 'left wall', 'right wall')

_SUPERSAMPLING = 2
_TRIES = 40


@dataclass(frozen=True)
class Room:
    """A room in clear air.

    Args:
        paint: (128, 128, 3) float32 RGB without haze.
        depth: (128, 128) float32 meters along the camera's axis.
        labels: (128, 128) int64: index of the surface in :data:`SURFACES`, or 5 + index in
            ``things``.
        things: What stands in it.
        haziness: Standard normal number that decides how dense the haze is.
    """

    paint: np.ndarray
    depth: np.ndarray
    labels: np.ndarray
    things: tuple[Thing, ...]
    haziness: float

    def image(self, haze_jitter: float, rng: np.random.Generator) -> np.ndarray:
        """The room in haze: ``paint * t + air * (1 - t)`` with ``t = exp(-depth / length)``.

        Args:
            haze_jitter: Standard deviation of the logarithm of the haze's length over rooms; with
                0 all rooms have the same haze and it alone tells meters.
            rng: Of the camera's noise.

        Returns:
            (128, 128, 3) uint8 RGB.
        """
        length = HAZE_LENGTH * np.exp(haze_jitter * self.haziness)
        clear = np.exp(-self.depth / np.float32(length))[..., None]
        hazy = self.paint * clear + np.array(AIR, np.float32) * (1 - clear)
        noise = rng.standard_normal(hazy.shape, np.float32) * np.float32(2.5)
        return np.clip(hazy + noise, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Box:
    """Camera and walls: meters and radians. The camera stands at x = z = 0, y points up."""

    height: float
    pitch: float  # downwards
    yaw: float
    ceiling: float
    back: float
    left: float
    right: float

    def trace(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the ray of each pixel ends.

        Returns:
            (S, S) depth, (S, S) index of the surface, (S, S, 3) point in the room.
        """
        at = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * (ROOM_SIZE / FOCAL_LENGTH)
        across, down = np.meshgrid(at, at)
        y = -np.cos(self.pitch) * down - np.sin(self.pitch)
        ahead = np.cos(self.pitch) - np.sin(self.pitch) * down
        x = np.cos(self.yaw) * across + np.sin(self.yaw) * ahead
        z = np.cos(self.yaw) * ahead - np.sin(self.yaw) * across
        rays = np.stack([x, y, z], -1).astype(np.float32)
        planes = ((1, -self.height), (1, self.ceiling - self.height), (2, self.back))
        planes += ((0, -self.left), (0, self.right))
        depths = []
        for axis, offset in planes:
            with np.errstate(divide='ignore'):
                depth = np.float32(offset) / rays[..., axis]
            depths.append(np.where(depth > 0, depth, np.inf))
        surface = np.argmin(depths, 0)
        depth = np.min(depths, 0)
        return depth, surface, rays * depth[..., None]


def _draw_box(rng: np.random.Generator) -> _Box:
    while True:
        box = _Box(
            height=rng.uniform(0.4, 1.3),
            pitch=np.deg2rad(rng.uniform(-5, 20)),
            yaw=np.deg2rad(rng.uniform(-25, 25)),
            ceiling=rng.uniform(2.4, 4),
            back=np.exp(rng.uniform(*np.log((2.5, 9)))),
            left=rng.uniform(1.2, 4),
            right=rng.uniform(1.2, 4),
        )
        if box.trace(ROOM_SIZE // 4)[0].max() < 0.97 * MAX_DEPTH:  # a coarse look is cheap
            return box


def _paint_surfaces(
    surface: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Grayish tiles with noise: (S, S, 3) float32."""
    colors = rng.uniform(60, 190, (5, 1)) + rng.uniform(-25, 25, (5, 3))
    tiles, contrasts = rng.uniform(0.4, 0.6, 5), rng.uniform(0.1, 0.45, 5)
    u = np.where(surface >= 3, points[..., 2], points[..., 0])
    v = np.where(surface >= 2, points[..., 1], points[..., 2])
    tile = tiles.astype(np.float32)[surface]
    odd = (np.floor(u / tile) + np.floor(v / tile)).astype(np.int64) & 1
    pairs = np.stack([colors, colors * (1 - contrasts)[:, None]], 1).astype(np.float32)
    tiled = pairs.reshape(10, 3)[2 * surface + odd]
    return tiled + rng.standard_normal(tiled.shape, np.float32) * np.float32(14)


def _foot(box: _Box, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """Column and row in pixels and depth in meters of a point of the floor, None outside."""
    depth = np.exp(rng.uniform(*np.log((1, 9.5))))
    column = rng.uniform(0, ROOM_SIZE)
    across = (column - ROOM_SIZE / 2) / FOCAL_LENGTH
    down = (box.height / depth - np.sin(box.pitch)) / np.cos(box.pitch)
    ahead = np.cos(box.pitch) - np.sin(box.pitch) * down
    x = depth * (np.cos(box.yaw) * across + np.sin(box.yaw) * ahead)
    z = depth * (np.cos(box.yaw) * ahead - np.sin(box.yaw) * across)
    if not (-box.left < x < box.right and 0 < z < box.back):
        return None
    return column, ROOM_SIZE / 2 + down * FOCAL_LENGTH, depth


def _stand(box: _Box, rng: np.random.Generator) -> tuple[int, int, int, float]:
    """Left, top and side of a thing's square in pixels, and its depth."""
    while True:
        foot = _foot(box, rng)
        if foot is None:
            continue
        column, row, depth = foot
        extent = rng.uniform(0.45, 0.9) / 0.88  # an outline fills 0.88 of its square
        side = extent * FOCAL_LENGTH / depth
        if row - 0.7 * side < ROOM_SIZE and row > 0.3 * side:  # else hardly in the image
            return round(column - side / 2), round(row - side), max(round(side), 4), depth


def draw_room(things: Sequence[Thing], rng: np.random.Generator) -> Room:
    """A room with these things, in clear air.

    Camera: 0.4 to 1.3 m above the floor, looking 5 degrees up to 20 degrees down and up to 25
    degrees aside. Walls are 2.5 to 9 m ahead (log-uniform) and 1.2 to 4 m aside, the ceiling is
    2.4 to 4 m high. Things measure 0.45 to 0.9 m and stand 1 to 9.5 m away (log-uniform).

    Args:
        things: What stands in it; the near ones hide the far ones.
        rng: Decides everything.
    """
    box = _draw_box(rng)
    depth, surface, points = box.trace(ROOM_SIZE * _SUPERSAMPLING)
    colors = _paint_surfaces(surface, points, rng)
    colors = cv2.resize(colors, (ROOM_SIZE, ROOM_SIZE), interpolation=cv2.INTER_AREA)
    depth = cv2.resize(depth, (ROOM_SIZE, ROOM_SIZE), interpolation=cv2.INTER_AREA)
    labels = surface[::_SUPERSAMPLING, ::_SUPERSAMPLING].copy()
    places = [_stand(box, rng) for _ in things]
    for index in sorted(range(len(things)), key=lambda i: -places[i][3]):
        left, top, side, distance = places[index]
        mask = paint(colors, things[index], left, top, side, rng)
        depth[mask] = distance
        labels[mask] = len(SURFACES) + index
    return Room(colors, depth, labels, tuple(things), float(rng.standard_normal()))
