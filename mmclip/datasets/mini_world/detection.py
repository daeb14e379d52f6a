"""Part 'detection': images with LVIS v1 annotations, and one example image per class.

    detection/{train,val,test}/000000000001.png
    detection/annotations/lvis_{train,val,test}.json
    detection/examples/<name>.png, detection/examples.json

All 384 classes are listed in every file, each with its ``split``. Novel and unseen classes have
frequency 'r', so AP_r is the open-vocabulary metric as on LVIS; base classes are 'f' if they lie
in more training images than the median base class, else 'c' (LVIS's limits of 10 and 100
images make no sense in a small world). The training file holds boxes of base classes only,
though some training images show novel shapes. Validation and test images show every class
equally often, and are judged for every class.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.scenes import SCENE_SIZE, Instance, draw_crop, draw_scene
from mmclip.datasets.mini_world.world import Thing, World

TRAIN_IMAGES = 1500
OBJECTS_PER_CLASS = {'val': 2, 'test': 5}
SPLITS = ('train', *OBJECTS_PER_CLASS)
MIN_THINGS, MAX_THINGS = 2, 5  # in an image
NOVEL_SHARE = 0.06  # of the objects in training images, unlabeled
EXAMPLE_SIZE = 96
# mmdet's own LVIS dataset cuts this address off and reads what follows from the image folder.
_URL = 'http://images.cocodataset.org/'


def _train_images(world: World, number: int, rng: np.random.Generator) -> list[list[Thing]]:
    base, novel = world.of('base'), world.of('novel')
    sizes = rng.integers(MIN_THINGS, MAX_THINGS + 1, world.scaled(number))
    return [
        [
            novel[rng.integers(len(novel))]
            if rng.random() < NOVEL_SHARE
            else base[rng.integers(len(base))]
            for _ in range(size)
        ]
        for size in sizes
    ]


def _balanced_images(world: World, objects: int, rng: np.random.Generator) -> list[list[Thing]]:
    things = world.rounds(objects, rng)
    images = []
    while things:
        size = int(rng.integers(MIN_THINGS, MAX_THINGS + 1))
        images.append(things[:size])
        things = things[size:]
    return images


def images(world: World, split: str, train_images: int = TRAIN_IMAGES) -> list[list[Thing]]:
    """What each image of a split shows: 2 to 5 things (the last one of a split perhaps fewer)."""
    rng = np.random.default_rng([world.seed, 20, SPLITS.index(split)])
    if split == 'train':
        return _train_images(world, train_images, rng)
    objects = OBJECTS_PER_CLASS[split] * len(world.things)
    return _balanced_images(world, world.scaled(objects), rng)


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


def _frequencies(world: World) -> dict[str, str]:
    """Name -> 'r', 'c' or 'f'."""
    counts = Counter(name for things in images(world, 'train') for name in {t.name for t in things})
    median = np.median([counts[thing.name] for thing in world.of('base')])
    return {
        name: 'r' if split != 'base' else ('f' if counts[name] > median else 'c')
        for name, split in world.split_of.items()
    }


def _categories(world: World, annotations: list[dict]) -> list[dict]:
    """LVIS category records; ids start at 1. ``split`` is ours, the other fields are LVIS's."""
    instances = Counter(a['category_id'] for a in annotations)
    images = Counter(c for _, c in {(a['image_id'], a['category_id']) for a in annotations})
    frequencies = _frequencies(world)
    categories = []
    for index, thing in enumerate(world.things, 1):
        categories.append(
            dict(
                id=index,
                name=thing.name,
                synset=f'{thing.shape}.n.01',
                synonyms=[thing.name],
                frequency=frequencies[thing.name],
                split=world.split_of[thing.name],
                image_count=images[index],
                instance_count=instances[index],
                **{'def': f'a {thing.color} {thing.shape} with a {thing.texture} surface'},
            )
        )
    return categories


def _write_split(out: Path, world: World, split: str, tick: Callable) -> None:
    rng = np.random.default_rng([world.seed, 21, SPLITS.index(split)])
    id_of = {name: index for index, name in enumerate(world.names, 1)}
    (out / split).mkdir(parents=True)
    records, annotations = [], []
    for image_id, things in enumerate(images(world, split), 1):
        image, instances = draw_scene(things, rng)
        name = f'{image_id:012d}.png'
        cv2.imwrite(str(out / split / name), image[:, :, ::-1])
        present = {id_of[i.thing.name] for i in instances}
        if split == 'train':
            instances = [i for i in instances if world.split_of[i.thing.name] == 'base']
        for instance in instances:
            category_id = id_of[instance.thing.name]
            annotations.append(_annotation(instance, image_id, category_id, len(annotations) + 1))
        records.append(
            dict(
                id=image_id,
                width=SCENE_SIZE,
                height=SCENE_SIZE,
                file_name=f'{split}/{name}',
                coco_url=f'{_URL}{split}/{name}',
                license=1,
                # Every class is judged in every image: what is not there is known not to be.
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
                categories=_categories(world, annotations),
                images=records,
                annotations=annotations,
            )
        )
    )


def _write_examples(out: Path, world: World, tick: Callable) -> None:
    """One clean crop per class, for vocabularies made of images."""
    rng = np.random.default_rng([world.seed, 7])
    (out / 'examples').mkdir(parents=True)
    for thing in world.things:
        crop = draw_crop(thing, (), rng, size=EXAMPLE_SIZE, zoom=(1.0, 1.3))
        cv2.imwrite(str(out / 'examples' / f'{thing.name}.png'), crop[:, :, ::-1])
        tick()
    examples = {name: [f'examples/{name}.png'] for name in world.names}
    (out / 'examples.json').write_text(json.dumps(examples, indent=1))


def count(world: World) -> int:
    """Steps of the progress bar."""
    return sum(len(images(world, split)) for split in SPLITS) + len(world.things)


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per image."""
    for split in SPLITS:
        _write_split(out, world, split, tick)
    _write_examples(out, world, tick)
