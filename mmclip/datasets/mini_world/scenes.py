"""Puts things into images: detection scenes and crops of one thing with its neighbors."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from mmclip.datasets.mini_world.draw import background, paint
from mmclip.datasets.mini_world.world import Thing

SCENE_SIZE = 128
CROP_SIZE = 48
MIN_SIDE, MAX_SIDE = 26, 56  # of a thing in a scene, pixels
MAX_OVERLAP = 4  # pixels of two squares; the things in them hardly ever touch
_ENLARGE = 8
_TRIES = 40


@dataclass(frozen=True)
class Instance:
    """A thing in an image; ``mask`` is (H, W) bool, what is visible of it."""

    thing: Thing
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels."""
        return cv2.boundingRect(self.mask.astype(np.uint8))

    @property
    def polygons(self) -> list[list[float]]:
        """Outlines as flat x, y lists, as COCO and LVIS store them.

        COCO's polygons run along the edges of pixels, OpenCV's through their centers: contours of
        the enlarged mask come close enough to give the same mask back. A hole is joined to its
        outline by a slit, since a COCO polygon cannot have one.
        """
        enlarged = cv2.resize(
            self.mask.astype(np.uint8),
            None,
            fx=_ENLARGE,
            fy=_ENLARGE,
            interpolation=cv2.INTER_NEAREST,
        )
        contours, tree = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        points = [(c[:, 0] + 0.5) / _ENLARGE for c in contours]
        outlines = {i: p for i, p in enumerate(points) if tree[0, i, 3] < 0}
        for i, hole in enumerate(points):
            parent = int(tree[0, i, 3])
            if parent >= 0:
                outlines[parent] = _join(outlines[parent], hole)
        return [outline.reshape(-1).tolist() for outline in outlines.values()]


def _join(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """One closed line around an outline and its hole, through a slit where they are nearest."""
    distance = ((outline[:, None] - hole[None]) ** 2).sum(-1)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return np.concatenate(
        [outline[: i + 1], hole[j:], hole[: j + 1], outline[i:]]  # there, around, and back
    )


def draw_scene(
    things: Sequence[Thing], rng: np.random.Generator, size: int = SCENE_SIZE
) -> tuple[np.ndarray, list[Instance]]:
    """A square image that holds these things, hardly overlapping.

    Args:
        things: What to place, 26 to 56 pixels each; they fit if they are five or fewer.
        size: Side of the image in pixels.

    Returns:
        (size, size, 3) uint8 RGB image and one instance per thing, in order.

    Raises:
        ValueError: they find no room.
    """
    squares = _place(len(things), size, rng)
    image = background(size, size, rng)
    masks: list[np.ndarray] = []
    for thing, (left, top, side) in zip(things, squares, strict=True):
        mask = paint(image, thing, left, top, side, rng)
        masks = [earlier & ~mask for earlier in masks] + [mask]
    instances = [Instance(thing, mask) for thing, mask in zip(things, masks, strict=True)]
    return np.clip(image, 0, 255).astype(np.uint8), instances


def _place(count: int, size: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(left, top, side) of squares that overlap by a few pixels at most."""
    for _ in range(_TRIES):  # a start that leaves no room for the last one is drawn again
        squares: list[tuple[int, int, int]] = []
        for _ in range(_TRIES):
            if len(squares) == count:
                return squares
            side = int(rng.integers(MIN_SIDE, MAX_SIDE + 1))
            left, top = (int(v) for v in rng.integers(0, size - side + 1, 2))
            if all(_overlap((left, top, side), other) <= MAX_OVERLAP for other in squares):
                squares.append((left, top, side))
        if len(squares) == count:
            return squares
    raise ValueError(f'things: {count} of them find no room in an image of {size} pixels')


def _overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    """Pixels by which two squares reach into each other on the axis where they do so least."""
    return min(min(a[k] + a[2], b[k] + b[2]) - max(a[k], b[k]) for k in (0, 1))


def draw_crop(
    thing: Thing,
    neighbors: Sequence[Thing],
    rng: np.random.Generator,
    *,
    size: int = CROP_SIZE,
    tight: bool = False,
    zoom: tuple[float, float] = (0.9, 1.7),
) -> np.ndarray:
    """A jittered crop of one thing, with neighbors that reach into it.

    Args:
        thing: What the crop shows: 26 to 56 pixels in the scene, then brought to ``size``.
        neighbors: Things painted around it, mostly outside.
        size: Side of the crop in pixels.
        tight: Crop around the thing's box, stretched to a square as a detector's regions are;
            otherwise around its square, as a photograph of it would be.
        zoom: Range of the crop's extent as a multiple of the box or square.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    side = int(rng.integers(MIN_SIDE, MAX_SIDE + 1))
    canvas = 3 * side
    image = background(canvas, canvas, rng)
    for neighbor in neighbors:
        angle, distance = rng.uniform(0, 2 * np.pi), side * rng.uniform(1.0, 1.3)
        other = int(rng.integers(MIN_SIDE, MAX_SIDE + 1))
        x, y = canvas / 2 + distance * np.array([np.cos(angle), np.sin(angle)]) - other / 2
        paint(image, neighbor, int(x), int(y), other, rng)
    mask = paint(image, thing, side, side, side, rng)

    left, top, *extent = Instance(thing, mask).box if tight else (side, side, side, side)
    center = np.array([left, top]) + np.array(extent) * (0.5 + rng.uniform(-0.1, 0.1, 2))
    stretch = np.exp(rng.uniform(-0.12, 0.12, 2) + rng.uniform(*np.log(zoom)))
    half = np.array(extent) * stretch / 2
    box = np.clip(np.concatenate([center - half, center + half]), 0, canvas)
    whole = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    return np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC, box=tuple(box)))
