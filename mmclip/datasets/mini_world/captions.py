"""Part 'captions': image-caption pairs as WebDataset shards, what CLIP-like models train on.

    captions/train-00000.tar ... captions/index.json

Each sample is ``<key>.png`` and ``<key>.txt``: a jittered crop of one thing and a sentence that
names it. Base and novel things appear, unseen ones never.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.scenes import draw_crop
from mmclip.datasets.mini_world.world import Thing, World

PER_THING = 48
SHARDS = 8
SENTENCES = (
    '{}',
    'a {}',
    'a photo of a {}.',
    'a picture of the {}.',
    'there is a {} here.',
    'this is one {}.',
)


def _plan(world: World) -> list[Thing]:
    """What the samples show, in order: rounds through all things, shuffled within a round."""
    rng = np.random.default_rng([world.seed, 3])
    things = world.of('base', 'novel')
    return [things[i] for _ in range(world.scaled(PER_THING)) for i in rng.permutation(len(things))]


def _neighbors(world: World, rng: np.random.Generator) -> list[Thing]:
    things = world.of('base', 'novel')
    return [things[rng.integers(len(things))] for _ in range(rng.integers(0, 3))]


def _add(archive: tarfile.TarFile, name: str, payload: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same bytes every time
    member.size = len(payload)
    archive.addfile(member, io.BytesIO(payload))


def count(world: World) -> int:
    return len(_plan(world))


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 4])
    plan = _plan(world)
    out.mkdir(parents=True, exist_ok=True)
    shards = {}
    per_shard = -(-len(plan) // SHARDS)
    for shard, start in enumerate(range(0, len(plan), per_shard)):
        name = f'train-{shard:05d}.tar'
        with tarfile.open(out / name, 'w') as archive:
            for index, thing in enumerate(plan[start : start + per_shard], start):
                tight = bool(rng.integers(2))
                crop = draw_crop(thing, _neighbors(world, rng), rng, tight=tight)
                png = cv2.imencode('.png', crop[:, :, ::-1])[1].tobytes()
                sentence = SENTENCES[rng.integers(len(SENTENCES))].format(thing.name)
                _add(archive, f'{index:06d}.png', png)
                _add(archive, f'{index:06d}.txt', sentence.encode())
                tick()
        shards[name] = min(per_shard, len(plan) - start)
    (out / 'index.json').write_text(json.dumps(dict(samples=len(plan), shards=shards), indent=1))
