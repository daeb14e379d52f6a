"""Puts things into pictures: detection scenes and crops of one thing with its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmclip.datasets.mini_world.draw import background, paint
from mmclip.datasets.mini_world.world import Thing

SCENE_SIZE = 128
CROP_SIZE = 48


@dataclass(frozen=True)
class Instance:
    """A thing in a picture; ``mask`` is (H, W) bool, what is visible of it."""

    thing: Thing
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels."""
        return cv2.boundingRect(self.mask.astype(np.uint8))

    @property
    def polygons(self) -> list[list[float]]:
        """Outer contours as flat x, y lists, as COCO and LVIS store them."""
        contours, _ = cv2.findContours(
            self.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        return [c.reshape(-1).astype(float).tolist() for c in contours if len(c) >= 3]


def draw_scene(
    things: Sequence[Thing], rng: np.random.Generator, size: int = SCENE_SIZE
) -> tuple[np.ndarray, list[Instance]]:
    """A square picture that holds these things, hardly overlapping.

    Args:
        things: What to place, 26 to 56 pixels each; one that finds no place is left out.
        size: Side of the picture in pixels.

    Returns:
        (size, size, 3) uint8 RGB picture and the instances placed.
    """
    picture = background(size, size, rng)
    taken = np.zeros((size, size), bool)
    instances = []
    for thing in things:
        for _ in range(40):
            side = int(rng.integers(26, 57))
            left, top = rng.integers(0, size - side + 1, 2)
            if taken[top : top + side, left : left + side].mean() < 0.02:
                mask = paint(picture, thing, left, top, side, rng)
                taken |= mask
                instances.append(Instance(thing, mask))
                break
    return np.clip(picture, 0, 255).astype(np.uint8), instances


def draw_crop(
    thing: Thing,
    neighbours: Sequence[Thing],
    rng: np.random.Generator,
    size: int = CROP_SIZE,
    scale: float = 1.0,
) -> np.ndarray:
    """A jittered crop of one thing, with neighbours that reach into it.

    Args:
        thing: What the crop shows: 26 to 56 pixels in the scene, then brought to ``size``.
        neighbours: Things painted around it, mostly outside.
        size: Side of the crop in pixels.
        scale: Widens the crop around the thing, e.g. 1.5.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    side = int(rng.integers(26, 57))
    window = side * scale * rng.uniform(0.85, 1.35)
    canvas = int(np.ceil(window)) + 2 * side
    picture = background(canvas, canvas, rng)
    centre = canvas / 2
    for neighbour in neighbours:
        angle, distance = rng.uniform(0, 2 * np.pi), side * rng.uniform(1.0, 1.3)
        other = int(rng.integers(20, 50))
        x, y = centre + distance * np.array([np.cos(angle), np.sin(angle)]) - other / 2
        paint(picture, neighbour, int(x), int(y), other, rng)
    paint(picture, thing, int(centre - side / 2), int(centre - side / 2), side, rng)

    shift = rng.uniform(-0.1, 0.1, 2) * side
    # The crop may be stretched a little, as boxes of a proposal network are.
    extent = window * rng.uniform(0.9, 1.1, 2) / 2
    matrix = np.array(
        [
            [size / (2 * extent[0]), 0, size / 2 * (1 - (centre + shift[0]) / extent[0])],
            [0, size / (2 * extent[1]), size / 2 * (1 - (centre + shift[1]) / extent[1])],
        ]
    )
    crop = cv2.warpAffine(
        picture, matrix, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(crop, 0, 255).astype(np.uint8)
