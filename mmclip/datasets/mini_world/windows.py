"""Windows of drawn rooms with words for their distance, what a CLIP learns distances from."""

from dataclasses import dataclass

import cv2
import numpy as np

from mmclip.datasets.mini_world.room_drawing import SURFACES, Room
from mmclip.datasets.mini_world.world import Thing

WINDOW_SIZE = 64
HAZE_JITTER = 0.1
# Words for seven distances, from near to far; the first of each are DepthCLIP's own.
BANDS = (
    ('giant', 'huge', 'right here'),
    ('extremely close', 'very close'),
    ('close', 'near', 'nearby'),
    ('not in distance', 'not far'),
    ('a little remote', 'some way off'),
    ('far', 'far away'),
    ('unseen', 'hardly visible', 'very far away'),
)
BAND_EDGES = (1.3, 1.8, 2.5, 3.5, 5.0, 7.0)  # meters between the bands
SENTENCES = (
    '{noun}, {word}',
    'a {noun}, {word}',
    'this {noun} is {word}',
    'this {noun} is {word}.',
    'a photo of a {noun}, {word}.',
    'the {noun} is {word}',
    'there is a {noun}, {word}.',
)
ADJECTIVE = 'a {word} {noun}'

_MIN_SIDE, _MAX_SIDE = 24, 64  # of a window in the room, pixels
_ANYWHERE = 48  # points to choose from
_MIN_VISIBLE = 8  # pixels of a thing
_NAMES = {'floor': ('floor', 'ground'), 'ceiling': ('ceiling',)}
_UNNAMED = ('object', 'thing', 'place')


@dataclass(frozen=True)
class Window:
    """A piece of a room.

    Args:
        image: (64, 64, 3) uint8 RGB.
        noun: A word for what is in its middle.
        distance: Meters, as somebody guesses them.
    """

    image: np.ndarray
    noun: str
    distance: float

    @property
    def band(self) -> int:
        """Index of the distance in :data:`BANDS`."""
        return int(np.digitize(self.distance, BAND_EDGES))

    def caption(self, rng: np.random.Generator) -> str:
        """A sentence with one of the band's words."""
        words = BANDS[self.band]
        word = words[rng.integers(len(words))]
        sentence = SENTENCES[rng.integers(len(SENTENCES))]
        if rng.random() < 0.2:
            sentence = ADJECTIVE
        return sentence.format(noun=self.noun, word=word)


def _thing_noun(thing: Thing, rng: np.random.Generator) -> str:
    names = (thing.name, f'{thing.color} {thing.shape}', thing.shape, 'object', 'thing')
    return names[rng.choice(len(names), p=(0.35, 0.25, 0.15, 0.15, 0.1))]


def _noun(room: Room, label: int, rng: np.random.Generator) -> str:
    if label >= len(SURFACES):
        return _thing_noun(room.things[label - len(SURFACES)], rng)
    names = _NAMES.get(SURFACES[label], ('wall',)) if rng.random() < 0.7 else _UNNAMED
    return names[rng.integers(len(names))]


def _candidates(room: Room, rng: np.random.Generator) -> list[tuple[float, float, float, int]]:
    """(x, y, side, label) of windows to choose from: around things or anywhere."""
    if rng.random() < 0.4:
        found = []
        for index in range(len(room.things)):
            mask = (room.labels == len(SURFACES) + index).astype(np.uint8)
            if mask.sum() >= _MIN_VISIBLE:
                x, y, *extent = cv2.boundingRect(mask)
                side = np.clip(max(extent) * rng.uniform(0.9, 1.7), _MIN_SIDE, _MAX_SIDE)
                middle = (x + extent[0] / 2, y + extent[1] / 2)
                found.append((*middle, side, len(SURFACES) + index))
        if found:
            return [found[i] for i in rng.permutation(len(found))]
    height, width = room.labels.shape
    xs, ys = rng.integers(width, size=_ANYWHERE), rng.integers(height, size=_ANYWHERE)
    sides = rng.uniform(_MIN_SIDE, _MAX_SIDE, _ANYWHERE)
    labels = room.labels[ys, xs]
    return list(zip(xs.tolist(), ys.tolist(), sides.tolist(), labels.tolist(), strict=True))


def _depth(room: Room, x: float, y: float, label: int) -> float:
    if label >= len(SURFACES):
        return float(np.median(room.depth[room.labels == label]))
    return float(room.depth[int(y), int(x)])


def cut_windows(
    room: Room, count: int, filled: np.ndarray, rng: np.random.Generator
) -> list[Window]:
    """Windows of a room, 40 % around a thing.

    Where there is a choice the band that ``filled`` has seen least is taken, so that the words for
    all distances become equally frequent. Windows may reach over the border, where the room is
    mirrored.

    Args:
        room: What to look at.
        count: Number of windows.
        filled: (7,) windows per band so far; counted on in place.
        rng: Decides everything.
    """
    border = _MAX_SIDE
    image = cv2.copyMakeBorder(
        room.image(HAZE_JITTER, rng), border, border, border, border, cv2.BORDER_REFLECT
    )
    windows = []
    for _ in range(count):
        candidates = _candidates(room, rng)
        guesses = np.exp(rng.normal(0, 0.2, len(candidates)))  # nobody measures
        distances = [_depth(room, x, y, label) for x, y, _, label in candidates] * guesses
        bands = np.digitize(distances, BAND_EDGES)
        chosen = int(np.argmin(filled[bands]))
        filled[bands[chosen]] += 1
        x, y, side, label = candidates[chosen]
        side = round(side)
        left, top = round(x - side / 2) + border, round(y - side / 2) + border
        cut = image[top : top + side, left : left + side]
        cut = cv2.resize(cut, (WINDOW_SIZE, WINDOW_SIZE), interpolation=cv2.INTER_LINEAR)
        windows.append(Window(cut, _noun(room, label, rng), float(distances[chosen])))
    return windows
