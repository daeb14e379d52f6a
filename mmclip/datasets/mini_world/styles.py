"""Part 'styles': image-caption pairs in several styles, what ``mini_clip_styles`` is trained on.

    styles/train-00000.tar ... styles/index.json     as of part 'captions'
    styles/{val,test}/000001.png                     held-out images
    styles/{val,test}.csv                            file,style,name,distance

Almost half of the pairs are photographs as of part 'captions'. Line drawings, silhouettes and flat
colors follow, and windows of drawn rooms in haze with words for their distance, those for each of
the seven distances equally often. Unseen things occur in no image of this part, nor does a flat or
colored shape that would be the plain variant of one. No image shows a cloud of points.

The held-out lists hold line drawings and silhouettes (the name is a shape) and windows (the name
says what is in the middle, the distance is in meters).
"""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world import style_drawing as styles
from mmclip.datasets.mini_world.room_drawing import draw_room
from mmclip.datasets.mini_world.rooms import some_things
from mmclip.datasets.mini_world.scenes import draw_crop
from mmclip.datasets.mini_world.windows import BANDS, Window, cut_windows
from mmclip.datasets.mini_world.world import COLORS, SHAPES, World

SHARDS = 8
PHOTOS_PER_THING = 38
PER_SHAPE = {'lines': 360, 'silhouette': 220, 'flat': 100}
ROOMS, WINDOWS_PER_ROOM = 1400, 5
HELD_OUT_PER_SHAPE = {'val': 10, 'test': 40}  # of line drawings, and as many silhouettes
HELD_OUT_ROOMS = {'val': 40, 'test': 120}
SENTENCES = {
    'photo': (
        '{}',
        'a {}',
        'a photo of a {}.',
        'a picture of the {}.',
        'there is a {} here.',
        'this is one {}.',
    ),
    'lines': (
        '{}',
        'a {}',
        'a drawing of a {}',
        'a sketch of a {}.',
        'a line drawing of a {}.',
        'the outline of a {}',
    ),
    'silhouette': ('{}', 'a {}', 'a silhouette of a {}', 'the shadow of a {}.', 'a shape of a {}'),
    'flat': ('{}', 'a {}', 'a flat {}', 'an icon of a {}.'),
}

Sample = tuple[np.ndarray, str]


def _plan(world: World) -> list[tuple[str, str]]:
    """Style and name of each training sample, in order; rooms name nothing."""
    rng = np.random.default_rng([world.seed, 111])
    names = [thing.name for thing in world.of('base', 'novel')]
    plan = [('photo', name) for name in names] * world.scaled(PHOTOS_PER_THING)
    for style, number in PER_SHAPE.items():
        plan += [(style, shape) for shape in SHAPES] * world.scaled(number)
    plan += [('window', '')] * (world.scaled(ROOMS) * WINDOWS_PER_ROOM)
    return [plan[i] for i in rng.permutation(len(plan))]


def _colors_of(world: World) -> dict[str, list[str]]:
    """Shape -> colors in which it may be shown without texture."""
    return {
        shape: [c for c in COLORS if world.split_of[f'plain {c} {shape}'] != 'unseen']
        for shape in SHAPES
    }


def _windows(world: World, filled: np.ndarray, rng: np.random.Generator) -> Iterator[Window]:
    things = world.of('base', 'novel')
    while True:
        yield from cut_windows(
            draw_room(some_things(things, rng), rng), WINDOWS_PER_ROOM, filled, rng
        )


def _ink(shape: str, colors: dict[str, list[str]], rng: np.random.Generator):
    """Ink and ground of a line drawing or silhouette, and the color's word, if it has one."""
    kind = rng.choice(4, p=(0.4, 0.28, 0.17, 0.15))
    if kind == 3:
        color = colors[shape][rng.integers(len(colors[shape]))]
        return *styles.colored(color, rng), color
    pair = ((styles.BLACK, styles.WHITE), (styles.WHITE, styles.BLACK), styles.grays(rng))[kind]
    return *pair, ''


def _drawing(style: str, shape: str, colors: dict, rng: np.random.Generator) -> Sample:
    """A drawing and the words for it."""
    if style == 'flat':
        color = colors[shape][rng.integers(len(colors[shape]))]
        image = styles.draw_filled(shape, *styles.colored(color, rng), rng)
        return image, f'{color} {shape}'
    ink, ground, color = _ink(shape, colors, rng)
    draw = styles.draw_lines if style == 'lines' else styles.draw_filled
    told = f'{color} {shape}' if color and rng.random() < 0.5 else shape
    return draw(shape, ink, ground, rng), told


def _samples(world: World, filled: np.ndarray) -> Iterator[Sample]:
    rng = np.random.default_rng([world.seed, 112])
    things = {thing.name: thing for thing in world.of('base', 'novel')}
    around, colors = list(things.values()), _colors_of(world)
    windows = _windows(world, filled, np.random.default_rng([world.seed, 113]))
    for style, name in _plan(world):
        if style == 'window':
            window = next(windows)
            yield window.image, window.caption(rng)
            continue
        if style == 'photo':
            neighbors = [around[i] for i in rng.integers(len(around), size=rng.integers(0, 3))]
            image = draw_crop(things[name], neighbors, rng, tight=bool(rng.integers(2)))
        else:
            image, name = _drawing(style, name, colors, rng)
        sentences = SENTENCES[style]
        yield image, sentences[rng.integers(len(sentences))].format(name)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image[:, :, ::-1])[1].tobytes()


def _add(archive: tarfile.TarFile, name: str, payload: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same bytes every time
    member.size = len(payload)
    archive.addfile(member, io.BytesIO(payload))


def _write_shards(out: Path, world: World, tick: Callable[[], None]) -> None:
    plan = _plan(world)
    filled = np.zeros(len(BANDS), int)
    samples = _samples(world, filled)
    per_shard = -(-len(plan) // SHARDS)
    shards = {}
    for shard, start in enumerate(range(0, len(plan), per_shard)):
        name = f'train-{shard:05d}.tar'
        stop = min(start + per_shard, len(plan))
        with tarfile.open(out / name, 'w') as archive:
            for index in range(start, stop):
                image, caption = next(samples)
                _add(archive, f'{index:06d}.png', _png(image))
                _add(archive, f'{index:06d}.txt', caption.encode())
                tick()
        shards[name] = stop - start
    kinds = ('photo', *PER_SHAPE, 'window')
    counts = {kind: sum(style == kind for style, _ in plan) for kind in kinds}
    index = dict(samples=len(plan), shards=shards, styles=counts, distances=filled.tolist())
    (out / 'index.json').write_text(json.dumps(index, indent=1))


def _held_out(world: World, split: str) -> Iterator[tuple[np.ndarray, str, str, str]]:
    """Image, style, name and distance."""
    rng = np.random.default_rng([world.seed, 114, list(HELD_OUT_ROOMS).index(split)])
    colors = _colors_of(world)
    for style in ('lines', 'silhouette'):
        for shape in SHAPES:
            for _ in range(world.scaled(HELD_OUT_PER_SHAPE[split])):
                yield _drawing(style, shape, colors, rng)[0], style, shape, ''
    windows = _windows(world, np.zeros(len(BANDS), int), rng)
    for _ in range(world.scaled(HELD_OUT_ROOMS[split]) * WINDOWS_PER_ROOM):
        window = next(windows)
        yield window.image, 'window', window.noun, f'{window.distance:.3f}'


def _write_held_out(out: Path, world: World, split: str, tick: Callable[[], None]) -> None:
    (out / split).mkdir()
    with (out / f'{split}.csv').open('w', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(('file', 'style', 'name', 'distance'))
        for number, (image, *row) in enumerate(_held_out(world, split), 1):
            file = f'{split}/{number:06d}.png'
            (out / file).write_bytes(_png(image))
            writer.writerow((file, *row))
            tick()


def count(world: World) -> int:
    """Steps of the progress bar."""
    held_out = sum(
        2 * len(SHAPES) * world.scaled(HELD_OUT_PER_SHAPE[split])
        + world.scaled(HELD_OUT_ROOMS[split]) * WINDOWS_PER_ROOM
        for split in HELD_OUT_ROOMS
    )
    return len(_plan(world)) + held_out


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per image."""
    _write_shards(out, world, tick)
    for split in HELD_OUT_ROOMS:
        _write_held_out(out, world, split, tick)
