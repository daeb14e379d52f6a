"""Part 'rooms': drawn rooms in haze with their depth, in NYU Depth v2's layout.

    rooms/{haze_10,haze_25}/{small,medium,large}/rgb_00001.png          128 x 128 pixels
    rooms/{haze_10,haze_25}/{small,medium,large}/sync_depth_00001.png   16-bit gray, millimeters
    rooms/{haze_10,haze_25}/{train,val,test}.txt                        image, depth, focal length

The folder is the scene, as in NYU: here the size of the room, by its farthest point. Both folders
hold the same rooms and the same depth; their haze differs in how much its density varies from
room to room (:data:`HAZE_JITTERS`). Training rooms hold base and novel things, those of the other
lists all three splits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.room_drawing import FOCAL_LENGTH, Room, draw_room
from mmclip.datasets.mini_world.world import Thing, World

ROOMS = {'train': 300, 'val': 100, 'test': 300}
HAZE_JITTERS = {'haze_10': 0.1, 'haze_25': 0.25}
MIN_THINGS, MAX_THINGS = 2, 5
MILLIMETERS = 1000
# A scene, and the depth in meters that its farthest point does not exceed.
SCENES = {'small': 5.0, 'medium': 7.0, 'large': 10.0}


def some_things(things: Sequence[Thing], rng: np.random.Generator) -> list[Thing]:
    """Two to five things of a list, drawn with replacement."""
    count = rng.integers(MIN_THINGS, MAX_THINGS + 1)
    return [things[i] for i in rng.integers(len(things), size=count)]


def scene(room: Room) -> str:
    """Name of a room's scene."""
    farthest = room.depth.max()
    return next((name for name, limit in SCENES.items() if farthest <= limit), 'large')


def count(world: World) -> int:
    """Steps of the progress bar."""
    return sum(world.scaled(number) for number in ROOMS.values())


def _write_split(out: Path, world: World, split: str, tick: Callable[[], None], first: int) -> int:
    rng = np.random.default_rng([world.seed, 101, list(ROOMS).index(split)])
    things = world.of('base', 'novel') if split == 'train' else world.things
    lines: dict[str, list[str]] = {name: [] for name in HAZE_JITTERS}
    numbers = range(first, first + world.scaled(ROOMS[split]))
    for number in numbers:
        room = draw_room(some_things(things, rng), rng)
        depth = np.round(room.depth * MILLIMETERS).astype(np.uint16)
        noise_seed = int(rng.integers(2**31))  # the same noise in both hazes
        for name, jitter in HAZE_JITTERS.items():
            files = [f'{scene(room)}/{kind}_{number:05d}.png' for kind in ('rgb', 'sync_depth')]
            image = room.image(jitter, np.random.default_rng(noise_seed))
            cv2.imwrite(str(out / name / files[0]), image[:, :, ::-1])
            cv2.imwrite(str(out / name / files[1]), depth)
            lines[name].append(f'{files[0]} {files[1]} {FOCAL_LENGTH:.4f}\n')
        tick()
    for name, rows in lines.items():
        (out / name / f'{split}.txt').write_text(''.join(rows))
    return numbers.stop


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per room."""
    for name in HAZE_JITTERS:
        for folder in SCENES:
            (out / name / folder).mkdir(parents=True)
    first = 1
    for split in ROOMS:
        first = _write_split(out, world, split, tick, first)
