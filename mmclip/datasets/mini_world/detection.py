"""Part 'detection': pictures with LVIS v1 annotations, and one example picture per class.

    detection/{train,val,test}/000000000001.png
    detection/annotations/lvis_{train,val,test}.json
    detection/examples/<name>.png, detection/examples.json

All 384 classes are listed in every file. Novel and unseen classes have frequency 'r', so AP_r is the
open-vocabulary metric as on LVIS; base classes are 'f' or 'c'. The training file holds boxes of base
classes only, though some training pictures show novel shapes. Validation and test pictures show every
class equally often.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.scenes import SCENE_SIZE, Instance, draw_crop, draw_scene
from mmclip.datasets.mini_world.world import Thing, World

SIZES = {'train': 1500, 'val': 250, 'test': 500}
NOVEL_SHARE = 0.06  # of the objects in training pictures, unlabelled
EXAMPLE_SIZE = 96


def _compositions(
    world: World, split: str, count: int, rng: np.random.Generator
) -> list[list[Thing]]:
    """What each picture shows: 2 to 5 things."""
    sizes = rng.integers(2, 6, count)
    if split == 'train':
        base, novel = world.of('base'), world.of('novel')
        return [
            [
                novel[rng.integers(len(novel))]
                if rng.random() < NOVEL_SHARE
                else base[rng.integers(len(base))]
                for _ in range(size)
            ]
            for size in sizes
        ]
    # Whole rounds through all things, so that every class comes equally often (up to one).
    total = int(sizes.sum())
    rounds = -(-total // len(world.things))
    order = np.concatenate([rng.permutation(len(world.things)) for _ in range(rounds)])[:total]
    chosen = [world.things[index] for index in order]
    ends = np.cumsum(sizes)
    return [chosen[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _annotation(instance: Instance, image_id: int, category_id: int, index: int) -> dict:
    x, y, width, height = instance.box
    return dict(
        id=index,
        image_id=image_id,
        category_id=category_id,
        bbox=[float(x), float(y), float(width), float(height)],
        area=float(instance.mask.sum()),
        segmentation=instance.polygons,
    )


def _categories(world: World, counts: Counter) -> list[dict]:
    """LVIS category records; ids start at 1. ``split`` is ours, the other fields are LVIS's."""
    categories = []
    for index, thing in enumerate(world.things, 1):
        split = world.split_of[thing.name]
        frequency = 'r' if split != 'base' else ('f' if index % 2 else 'c')
        categories.append(
            dict(
                id=index,
                name=thing.name,
                synset=f'{thing.shape}.n.01',
                synonyms=[thing.name],
                frequency=frequency,
                split=split,
                image_count=counts[index],
                instance_count=counts[index],
                **{'def': f'a {thing.colour} {thing.shape} with a {thing.texture} surface'},
            )
        )
    return categories


def _write_split(out: Path, world: World, split: str, count: int, tick: Callable) -> None:
    rng = np.random.default_rng([world.seed, sum(map(ord, split))])
    id_of = {name: index for index, name in enumerate(world.names, 1)}
    (out / split).mkdir(parents=True)
    images, annotations, counts = [], [], Counter()
    for image_id, things in enumerate(_compositions(world, split, count, rng), 1):
        picture, instances = draw_scene(things, rng)
        name = f'{image_id:012d}.png'
        cv2.imwrite(str(out / split / name), picture[:, :, ::-1])
        present = {id_of[i.thing.name] for i in instances}
        if split == 'train':
            instances = [i for i in instances if world.split_of[i.thing.name] == 'base']
        for instance in instances:
            category_id = id_of[instance.thing.name]
            counts[category_id] += 1
            annotations.append(
                _annotation(instance, image_id, category_id, len(annotations) + 1)
            )
        images.append(
            dict(
                id=image_id,
                width=SCENE_SIZE,
                height=SCENE_SIZE,
                file_name=f'{split}/{name}',
                coco_url=f'http://mini.world/{split}/{name}',
                license=1,
                # Every class is judged in every picture: what is not there is known not to be.
                neg_category_ids=sorted(set(id_of.values()) - present) if split != 'train' else [],
                not_exhaustive_category_ids=[],
            )
        )
        tick()
    annotation_file = out / 'annotations' / f'lvis_{split}.json'
    annotation_file.parent.mkdir(exist_ok=True)
    annotation_file.write_text(
        json.dumps(
            dict(
                info=dict(description=f'MiniWorld detection, {split}', version='1'),
                licenses=[dict(id=1, name='Apache-2.0', url='')],
                categories=_categories(world, counts),
                images=images,
                annotations=annotations,
            )
        )
    )


def _write_examples(out: Path, world: World, tick: Callable) -> None:
    """One clean crop per class, for vocabularies made of pictures."""
    rng = np.random.default_rng([world.seed, 7])
    (out / 'examples').mkdir(parents=True)
    for thing in world.things:
        crop = draw_crop(thing, (), rng, EXAMPLE_SIZE)
        cv2.imwrite(str(out / 'examples' / f'{thing.name}.png'), crop[:, :, ::-1])
        tick()
    examples = {name: [f'examples/{name}.png'] for name in world.names}
    (out / 'examples.json').write_text(json.dumps(examples, indent=1))


def count(world: World) -> int:
    """Steps of the progress bar."""
    return sum(SIZES.values()) + len(world.things)


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per picture."""
    for split, size in SIZES.items():
        _write_split(out, world, split, size, tick)
    _write_examples(out, world, tick)
