"""Part 'classification': crops of all 384 things with a list, for zero-shot and linear probes.

    classification/{train,val,test}/000001.png
    classification/{train,val,test}.csv      file,name,split
    classification/classes.json              the 384 names in order, and the split of each

The training list (for probes) holds base things only.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.scenes import draw_crop
from mmclip.datasets.mini_world.world import World

PER_THING = {'train': 8, 'val': 4, 'test': 8}


def count(world: World) -> int:
    return sum(len(_things(world, split)) * world.scaled(n) for split, n in PER_THING.items())


def _things(world: World, split: str) -> tuple:
    return world.of('base') if split == 'train' else world.things


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    for number, (split, per_thing) in enumerate(PER_THING.items()):
        rng = np.random.default_rng([world.seed, 5, number])
        (out / split).mkdir(parents=True)
        rows = []
        for thing in _things(world, split):
            for _ in range(world.scaled(per_thing)):
                around = _things(world, split)
                neighbors = [around[rng.integers(len(around))] for _ in range(rng.integers(0, 3))]
                crop = draw_crop(thing, neighbors, rng, tight=bool(rng.integers(2)))
                file = f'{split}/{len(rows):06d}.png'
                cv2.imwrite(str(out / file), crop[:, :, ::-1])
                rows.append((file, thing.name, world.split_of[thing.name]))
                tick()
        with (out / f'{split}.csv').open('w', newline='') as stream:
            writer = csv.writer(stream)
            writer.writerow(('file', 'name', 'split'))
            writer.writerows(rows)
    classes = dict(names=world.names, splits=world.split_of)
    (out / 'classes.json').write_text(json.dumps(classes, indent=1))
