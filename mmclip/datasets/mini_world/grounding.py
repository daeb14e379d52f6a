"""Part 'grounding': captions whose phrases have boxes and masks, and pairs without any boxes.

    grounding/images/{train,val,test}/000001.png     128 x 128 pixels, 2 to 5 things
    grounding/{train,val,test}.jsonl                 ODVG records: captions with regions
    grounding/refer_{train,val,test}.jsonl           referring captions: one thing is meant
    grounding/pairs-00000.tar ... index.json         <key>.jpg, <key>.txt for pseudo-labels

A region has ``phrase``, ``tokens_positive``, ``bbox`` (a list of boxes, xyxy), ``segmentation`` (a
list of polygons) and ``types``. The split is that of detection: training records hold boxes of base
things only. Novel things lie in some training images, without a box and without a word; the
``pairs`` show and name base and novel things alike, as captions of the web would; unseen ones are
in neither. Phrases of training captions are full names or parts of them that still name the shape
('red star', 'striped star', 'star'), so no phrase can mean a thing that has no box; where two or
more things are meant the caption says 'every star'. Validation and test captions call every thing
by its full name; ``types`` tells its split. A referring caption means one thing: 'the red star', or
'the leftmost red star' where there are several.
"""

import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world import detection
from mmclip.datasets.mini_world.captions import _add
from mmclip.datasets.mini_world.scenes import SCENE_SIZE, Instance, draw_scene
from mmclip.datasets.mini_world.world import Thing, World

SPLITS = detection.SPLITS
PAIRS = 1600
SHARDS = 8
SENTENCES = ('{}', 'a picture of {}.', 'there is {} here.', 'this shows {}.', 'we see {}.')
JOINTS = (', ', ' and ', ' beside ', ' next to ')
# Side words and what they sort by: the first of the order is meant.
SIDES: dict[str, Callable[[tuple], float]] = {
    'leftmost': lambda box: box[0] + box[2] / 2,
    'rightmost': lambda box: -box[0] - box[2] / 2,
    'topmost': lambda box: box[1] + box[3] / 2,
    'lowest': lambda box: -box[1] - box[3] / 2,
}
REFER = ('the {side} {word}', '{word} that is the {side} one', 'the {word} which is {side}')


def _partial_names(thing: Thing) -> tuple[str, ...]:
    """A full name and the parts of it that name the shape."""
    return (
        thing.name,
        f'{thing.color} {thing.shape}',
        f'{thing.texture} {thing.shape}',
        thing.shape,
    )


def _fits(thing: Thing, words: str) -> bool:
    return set(words.split()) <= {thing.texture, thing.color, thing.shape}


def _region(phrase: str, start: int, instances: Sequence[Instance], types: Sequence[str]) -> dict:
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (one.box for one in instances)]
    return dict(
        phrase=phrase,
        tokens_positive=[[start, start + len(phrase)]],
        bbox=boxes,
        segmentation=[one.polygons for one in instances],
        types=list(types),
    )


def caption_record(
    instances: Sequence[Instance],
    words: Sequence[str],
    types: Sequence[Sequence[str]],
    rng: np.random.Generator,
) -> dict:
    """A caption that names these words in random order, each with the boxes of all it fits.

    Args:
        instances: Things of an image that may have boxes.
        words: What the caption says, e.g. 'red star'; each is in it once.
        types: Of each word.
        rng: Draws order, sentence and joints.
    """
    before, after = SENTENCES[rng.integers(len(SENTENCES))].split('{}')
    caption, regions = before, []
    for place, number in enumerate(rng.permutation(len(words)).tolist()):
        caption += JOINTS[rng.integers(len(JOINTS))] if place else ''
        meant = [one for one in instances if _fits(one.thing, words[number])]
        caption += 'a ' if len(meant) < 2 else 'every '
        regions.append(_region(words[number], len(caption), meant, types[number]))
        caption += words[number]
    return dict(caption=caption + after, regions=regions)


def refer_record(
    instances: Sequence[Instance], target: int, word: str, kind: str, rng: np.random.Generator
) -> dict | None:
    """A caption that means one thing among those that its word fits; None if no side tells it."""
    fitting = [one for one in instances if _fits(one.thing, word)]
    sides = [
        side
        for side, key in SIDES.items()
        if min(fitting, key=lambda one, key=key: key(one.box)) is instances[target]
    ]
    if not sides:
        return None
    side = sides[rng.integers(len(sides))] if len(fitting) > 1 else None
    if side is None:
        caption = f'the {word}'
    else:
        caption = REFER[rng.integers(len(REFER))].format(side=side, word=word)
    return dict(caption=caption, regions=[_region(caption, 0, [instances[target]], [kind])])


def _words(
    world: World, split: str, instances: Sequence[Instance], rng: np.random.Generator
) -> tuple[list[str], list[list[str]]]:
    """What a caption says of an image, and the split of each word."""
    words: dict[str, list[str]] = {}
    for one in instances:
        names = _partial_names(one.thing) if split == 'train' else (one.thing.name,)
        words.setdefault(names[rng.integers(len(names))], [world.split_of[one.thing.name]])
    return list(words), list(words.values())


def _write_split(out: Path, world: World, split: str, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 81, SPLITS.index(split)])
    (out / 'images' / split).mkdir(parents=True)
    lines: dict[str, list[str]] = {split: [], f'refer_{split}': []}
    for number, things in enumerate(detection.images(world, split), 1):
        image, instances = draw_scene(things, rng)
        name = f'{split}/{number:06d}.png'
        cv2.imwrite(str(out / 'images' / name), image[:, :, ::-1])
        if split == 'train':
            instances = [i for i in instances if world.split_of[i.thing.name] == 'base']
        words, types = _words(world, split, instances, rng)
        common = dict(filename=name, height=SCENE_SIZE, width=SCENE_SIZE)
        if instances:
            found = caption_record(instances, words, types, rng)
            lines[split].append(json.dumps(common | dict(grounding=found)))
            target = int(rng.integers(len(instances)))
            kind = world.split_of[instances[target].thing.name]
            names = _partial_names(instances[target].thing)
            word = names[rng.integers(len(names))]
            refers = refer_record(instances, target, word, kind, rng)
            if refers is not None:
                lines[f'refer_{split}'].append(json.dumps(common | dict(grounding=refers)))
        tick()
    for name, records in lines.items():
        (out / f'{name}.jsonl').write_text('\n'.join(records) + '\n')


def _pair_things(world: World, rng: np.random.Generator) -> list[list[Thing]]:
    """What the pairs show: base and novel things, all equally often."""
    known = world.of('base', 'novel')
    sizes = rng.integers(
        detection.MIN_THINGS, detection.MAX_THINGS + 1, world.scaled(PAIRS, SHARDS)
    )
    rounds = -(-int(sizes.sum()) // len(known))
    things = [known[i] for _ in range(rounds) for i in rng.permutation(len(known))]
    ends = np.cumsum(sizes).tolist()
    return [things[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]


def _write_pairs(out: Path, world: World, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 82])
    scenes = _pair_things(world, rng)
    per_shard = -(-len(scenes) // SHARDS)
    shards = {}
    for shard, start in enumerate(range(0, len(scenes), per_shard)):
        name = f'pairs-{shard:05d}.tar'
        part = scenes[start : start + per_shard]
        with tarfile.open(out / name, 'w') as archive:
            for index, things in enumerate(part, start):
                image, instances = draw_scene(things, rng)
                quality = (cv2.IMWRITE_JPEG_QUALITY, 95)
                jpeg = cv2.imencode('.jpg', image[:, :, ::-1], quality)[1].tobytes()
                names = list(dict.fromkeys(thing.name for thing in things))
                caption = caption_record(instances, names, [[]] * len(names), rng)['caption']
                _add(archive, f'{index:06d}.jpg', jpeg)
                _add(archive, f'{index:06d}.txt', caption.encode())
                tick()
        shards[name] = len(part)
    (out / 'index.json').write_text(json.dumps(dict(samples=len(scenes), shards=shards), indent=1))


def count(world: World) -> int:
    """Steps of the progress bar."""
    images = sum(len(detection.images(world, split)) for split in SPLITS)
    return images + world.scaled(PAIRS, SHARDS)


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per image."""
    for split in SPLITS:
        _write_split(out, world, split, tick)
    _write_pairs(out, world, tick)
