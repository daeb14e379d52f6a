"""What exists in MiniWorld: colours, textures, shapes, their names, and who is base, novel, unseen.

The 384 compositions, e.g. 'striped red star', fall into three splits:

- **novel**: all 128 of four whole shapes. They have no box in training, but captions know them, and
  some lie unlabelled in the training pictures, as LVIS's rare classes do. Two of them look like base
  shapes (ring and circle, diamond and square), so they cannot be guessed by elimination alone.
- **unseen**: 40 compositions of the other eight shapes, drawn by a seed: in no training picture and in
  no caption.
- **base**: the remaining 216, with boxes and captions.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

# Colours as RGB.
COLOURS = {
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
    """One composition of texture, colour and shape."""

    texture: str
    colour: str
    shape: str

    @property
    def name(self) -> str:
        return f'{self.texture} {self.colour} {self.shape}'


@dataclass(frozen=True)
class World:
    """The 384 things and their splits.

    Args:
        seed: Draws the unseen compositions.
    """

    seed: int = 0

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """All compositions, base shapes first."""
        return tuple(Thing(t, c, s) for s, t, c in product(SHAPES, TEXTURES, COLOURS))

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
