"""Part 'scene_captions': captioned scenes for models that segment after learning from captions.

    scene_captions/train-00000.tar ... index.json           <key>.jpg, <key>.txt; no masks
    scene_captions/images/{val,test}/000001.png
    scene_captions/{colors,colors_textures,shapes}/{val,test}/000001.png    8-bit gray
    scene_captions/{colors,colors_textures,shapes}.txt    the words of the classes

Images of 64 px with one to three large things. A caption names each by texture, color and shape:
its nouns (any word of :data:`WORDS`) are what a segmentor is asked for later. Training shows base
and novel things, the other images all of them, equally often. A mask holds 0 for the background,
i for the i-th word of its list.
"""

import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.captions import _add
from mmclip.datasets.mini_world.draw import background, paint
from mmclip.datasets.mini_world.scenes import _overlap
from mmclip.datasets.mini_world.world import COLORS, SHAPES, TEXTURES, Thing, World

SIZE = 64
IMAGES = {'train': 24000, 'val': 400, 'test': 800}
SHARDS = 8
# By the number of things: range of their sides in pixels.
SIDES = {1: (34, 60), 2: (27, 40), 3: (24, 31)}
MAX_OVERLAP = 3
SENTENCES = ('{}', 'a photo of {}.', 'a picture with {}.', 'there is {} here.', 'this is {}.')
WORDS = (*COLORS, *TEXTURES, *SHAPES)
# Kind of mask -> its words and the word of a thing.
KINDS: dict[str, tuple[tuple[str, ...], Callable[[Thing], str]]] = {
    'colors': (tuple(COLORS), lambda thing: thing.color),
    'colors_textures': (
        tuple(f'{texture} {color}' for color in COLORS for texture in TEXTURES),
        lambda thing: f'{thing.texture} {thing.color}',
    ),
    'shapes': (SHAPES, lambda thing: thing.shape),
}


def _squares(count: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(left, top, side) of squares that hardly overlap."""
    while True:
        squares: list[tuple[int, int, int]] = []
        for _ in range(12 * count):
            side = int(rng.integers(SIDES[count][0], SIDES[count][1] + 1))
            left, top = (int(v) for v in rng.integers(0, SIZE - side + 1, 2))
            if all(_overlap((left, top, side), other) <= MAX_OVERLAP for other in squares):
                squares.append((left, top, side))
                if len(squares) == count:
                    return squares


def draw(things: Sequence[Thing], rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """(64, 64, 3) uint8 RGB image of one to three things, and a bool mask of each."""
    image = background(SIZE, SIZE, rng)
    masks: list[np.ndarray] = []
    for thing, (left, top, side) in zip(things, _squares(len(things), rng), strict=True):
        mask = paint(image, thing, left, top, side, rng)
        masks = [earlier & ~mask for earlier in masks] + [mask]
    return np.clip(image, 0, 255).astype(np.uint8), masks


def caption(things: Sequence[Thing], rng: np.random.Generator) -> str:
    """A sentence that names the things, in the order in which they were painted."""
    names = [f'a {thing.name}' for thing in things]
    listed = ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return SENTENCES[rng.integers(len(SENTENCES))].format(listed)


def _scenes(things: list[Thing], images: int, rng: np.random.Generator) -> list[list[Thing]]:
    """Images of one to three things, drawn in rounds so that all come equally often."""
    scenes, start = [], 0
    for count in rng.integers(1, 4, images).tolist():
        scenes.append([things[i % len(things)] for i in range(start, start + count)])
        start += count
    return scenes


def _write_train(out: Path, world: World, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 71, 0])
    known = world.of('base', 'novel')
    count = world.scaled(IMAGES['train'], SHARDS)
    rounds = 2 * count // len(known) + 1
    things = [known[i] for _ in range(rounds) for i in rng.permutation(len(known))]
    scenes = _scenes(things, count, rng)
    per_shard = -(-count // SHARDS)
    shards = {}
    for shard, start in enumerate(range(0, count, per_shard)):
        name = f'train-{shard:05d}.tar'
        with tarfile.open(out / name, 'w') as archive:
            for index, scene in enumerate(scenes[start : start + per_shard], start):
                image, _ = draw(scene, rng)
                quality = (cv2.IMWRITE_JPEG_QUALITY, 92)
                jpeg = cv2.imencode('.jpg', image[:, :, ::-1], quality)[1].tobytes()
                _add(archive, f'{index:06d}.jpg', jpeg)
                _add(archive, f'{index:06d}.txt', caption(scene, rng).encode())
                tick()
        shards[name] = min(per_shard, count - start)
    (out / 'index.json').write_text(json.dumps(dict(samples=count, shards=shards), indent=1))


def _write_masks(out: Path, world: World, split: str, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 71, list(IMAGES).index(split)])
    for kind in ('images', *KINDS):
        (out / kind / split).mkdir(parents=True)
    count = world.scaled(IMAGES[split], 4)
    scenes = _scenes(world.rounds(3 * count, rng), count, rng)
    for number, scene in enumerate(scenes, 1):
        image, masks = draw(scene, rng)
        name = f'{split}/{number:06d}.png'
        cv2.imwrite(str(out / 'images' / name), image[:, :, ::-1])
        for kind, (words, word_of) in KINDS.items():
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for thing, mask in zip(scene, masks, strict=True):
                labels[mask] = 1 + words.index(word_of(thing))
            cv2.imwrite(str(out / kind / name), labels)
        tick()


def count(world: World) -> int:
    """Steps of the progress bar."""
    return sum(
        world.scaled(number, SHARDS if split == 'train' else 4) for split, number in IMAGES.items()
    )


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per image."""
    _write_train(out, world, tick)
    for split in ('val', 'test'):
        _write_masks(out, world, split, tick)
    for kind, (words, _) in KINDS.items():
        (out / f'{kind}.txt').write_text('\n'.join(words) + '\n')
