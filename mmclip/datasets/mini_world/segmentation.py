"""Part 'segmentation': images with masks of class indices, and folds.

    segmentation/images/{train,val,test}/000001.png
    segmentation/annotations/{train,val,test}/000001.png    16-bit gray
    segmentation/classes.txt                                'background', then the 384 names
    segmentation/splits/trn/fold{0..3}.txt                  lines name__class, class counted from 1
    segmentation/splits/{val,test}/fold{0..3}.json          questions: image, mask, class_id

A mask holds 0 for the background, i for the i-th name, 65535 for what nobody labeled: novel things
lie in some training images, without a label, and unseen ones never. Validation and test images
show every class equally often and everything in them is labeled.

The folds ask for one class per image (PASCAL-5i's protocol). The lists of training images have
PASCAL-5i's layout; a fold trains on the lists of the other three. Which fold tests a class is
:func:`mmclip.datasets.fold_benchmarks.fold_classes`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.fold_benchmarks import NUM_FOLDS, fold_classes
from mmclip.datasets.mini_world import detection
from mmclip.datasets.mini_world.scenes import Instance, draw_scene
from mmclip.datasets.mini_world.world import World

BACKGROUND = 'background'
UNLABELED = 65535
# Four times as many as for detection.
TRAIN_IMAGES = 6000
SPLITS = detection.SPLITS


def _mask(instances: list[Instance], size: int, world: World, labeled: tuple[str, ...]):
    """(H, W) uint16 of indices, things of other splits being unlabeled."""
    index = {name: i for i, name in enumerate(world.names, 1)}
    mask = np.zeros((size, size), np.uint16)
    for instance in instances:
        name = instance.thing.name
        known = world.split_of[name] in labeled
        mask[instance.mask] = index[name] if known else UNLABELED
    return mask


def _write_split(out: Path, world: World, split: str, tick: Callable) -> list[tuple[str, set[int]]]:
    """Images and masks; gives each image's name with the classes (from 0) in its mask."""
    rng = np.random.default_rng([world.seed, 61, SPLITS.index(split)])
    labeled = ('base',) if split == 'train' else ('base', 'novel', 'unseen')
    for kind in ('images', 'annotations'):
        (out / kind / split).mkdir(parents=True)
    rows = []
    for number, things in enumerate(detection.images(world, split, TRAIN_IMAGES), 1):
        image, instances = draw_scene(things, rng)
        mask = _mask(instances, image.shape[0], world, labeled)
        name = f'{split}/{number:06d}'
        cv2.imwrite(str(out / 'images' / f'{name}.png'), image[:, :, ::-1])
        cv2.imwrite(str(out / 'annotations' / f'{name}.png'), mask)
        present = set(np.unique(mask).tolist()) - {0, UNLABELED}
        rows.append((name, {index - 1 for index in present}))
        tick()
    return rows


def _write_folds(out: Path, split: str, rows: list[tuple[str, set[int]]]) -> None:
    """The questions of each fold: every class of the fold in every image that shows it."""
    folder = out / 'splits' / ('trn' if split == 'train' else split)
    folder.mkdir(parents=True)
    for fold in range(NUM_FOLDS):
        tested = set(fold_classes('mini_world', fold, 'test'))
        asked = [(name, c) for name, classes in rows for c in sorted(classes & tested)]
        if split == 'train':
            lines = ''.join(f'{name}__{class_id + 1:03d}\n' for name, class_id in asked)
            (folder / f'fold{fold}.txt').write_text(lines)
        else:
            questions = [
                dict(image=f'images/{n}.png', mask=f'annotations/{n}.png', class_id=c)
                for n, c in asked
            ]
            (folder / f'fold{fold}.json').write_text(json.dumps(questions))


def count(world: World) -> int:
    """Steps of the progress bar."""
    return sum(len(detection.images(world, split, TRAIN_IMAGES)) for split in SPLITS)


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per image."""
    for split in SPLITS:
        _write_folds(out, split, _write_split(out, world, split, tick))
    (out / 'classes.txt').write_text('\n'.join((BACKGROUND, *world.names)) + '\n')
