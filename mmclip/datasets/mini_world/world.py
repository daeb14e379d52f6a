"""What exists in MiniWorld: colors, textures, shapes, their names, and who is base, novel, unseen.

The 384 compositions, e.g. 'striped red star', fall into three splits:

- **novel**: all 128 of four whole shapes. They have no box in training, but captions know them, and
  some lie unlabeled in the training images, as LVIS's rare classes do. Two of them look like
  base shapes (ring and circle, diamond and square), so they cannot be guessed by elimination alone.
- **unseen**: 40 compositions of the other eight shapes, drawn by a seed: in no training image and
  in no caption.
- **base**: the remaining 216, with boxes and captions.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

# Colors as RGB.
COLORS = {
    'red': (225, 45, 45),
    'orange': (245, 145, 35),
    'yellow': (240, 230, 70),
    'green': (50, 170, 60),
    'cyan': (70, 220, 225),
    'blue': (50, 80, 225),
    'purple': (150, 55, 175),
    'pink': (250, 150, 195),
}
TEXTURES = ('plain', 'striped', 'dotted', 'checkered')
BASE_SHAPES = ('circle', 'square', 'triangle', 'star', 'cross', 'moon', 'house', 'bolt')
NOVEL_SHAPES = ('heart', 'ring', 'arrow', 'diamond')
SHAPES = BASE_SHAPES + NOVEL_SHAPES
SPLITS = ('base', 'novel', 'unseen')
NUM_UNSEEN = 40


@dataclass(frozen=True)
class Thing:
    """One composition of texture, color and shape."""

    texture: str
    color: str
    shape: str

    @property
    def name(self) -> str:
        return f'{self.texture} {self.color} {self.shape}'


@dataclass(frozen=True)
class World:
    """The 384 things and their splits.

    Args:
        seed: Draws the unseen compositions and every image.
        scale: Share of the images to make; tests make a small world with, say, 0.02.

    Raises:
        ValueError: ``seed`` is negative or ``scale`` is not positive.
    """

    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f'seed: {self.seed}; allowed are 0 and positive integers')
        if not self.scale > 0:
            raise ValueError(
                f'scale: {self.scale}; allowed are positive numbers, 1 is the full world'
            )

    def scaled(self, count: int, least: int = 1) -> int:
        """How many of ``count`` images or objects this world holds."""
        return max(least, round(count * self.scale))

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """All compositions, base shapes first."""
        return tuple(Thing(t, c, s) for s, t, c in product(SHAPES, TEXTURES, COLORS))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(thing.name for thing in self.things)

    @cached_property
    def split_of(self) -> dict[str, str]:
        """Name -> 'base', 'novel' or 'unseen'."""
        seen_shapes = [thing.name for thing in self.things if thing.shape in BASE_SHAPES]
        rng = np.random.default_rng([self.seed, 40])
        unseen = set(rng.choice(seen_shapes, NUM_UNSEEN, replace=False).tolist())
        return {
            thing.name: 'novel'
            if thing.shape in NOVEL_SHAPES
            else ('unseen' if thing.name in unseen else 'base')
            for thing in self.things
        }

    def of(self, *splits: str) -> tuple[Thing, ...]:
        """The things of these splits, in the order of ``things``."""
        return tuple(thing for thing in self.things if self.split_of[thing.name] in splits)

    def rounds(self, count: int, rng: np.random.Generator) -> list[Thing]:
        """``count`` things in random order, each as often as any other (up to one).

        Any stretch of a round holds the three splits in about their own proportions, so that a
        small world has some of each.
        """
        groups = [self.of(split) for split in SPLITS]
        chosen = []
        while len(chosen) < count:
            places = [
                (np.arange(len(group)) + rng.random(len(group))) / len(group) for group in groups
            ]
            things = [group[i] for group in groups for i in rng.permutation(len(group))]
            chosen += [things[i] for i in np.concatenate(places).argsort()]
        return chosen[:count]
