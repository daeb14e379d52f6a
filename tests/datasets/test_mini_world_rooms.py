"""MiniWorld's rooms: geometry by closed form, haze, and NYU's layout."""

import cv2
import numpy as np
import pytest

from mmclip.datasets.mini_world import make, rooms
from mmclip.datasets.mini_world.room_drawing import (
    AIR,
    FOCAL_LENGTH,
    ROOM_SIZE,
    SURFACES,
    Room,
    _Box,
    draw_room,
)
from mmclip.datasets.mini_world.world import World

SCALE = 0.03
STRAIGHT = dict(height=1.0, pitch=0.0, yaw=0.0, ceiling=3.0, back=4.0, left=2.0, right=1.5)


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['rooms'], scale=SCALE, processes=1, report=lambda line: None)
    return folder / 'rooms'


def test_depth_along_the_axis_is_that_of_floor_walls_and_ceiling():
    depth, surface, points = _Box(**STRAIGHT).trace(ROOM_SIZE)
    slope = ((np.arange(ROOM_SIZE) + 0.5) / ROOM_SIZE - 0.5) * ROOM_SIZE / FOCAL_LENGTH
    middle = ROOM_SIZE // 2
    np.testing.assert_allclose(depth[surface == 2], 4, rtol=1e-5)
    floor, ceiling = surface[:, middle] == 0, surface[:, middle] == 1
    assert floor.any() and ceiling.any()
    np.testing.assert_allclose(depth[floor, middle], 1 / slope[floor], rtol=1e-5)
    np.testing.assert_allclose(depth[ceiling, middle], -2 / slope[ceiling], rtol=1e-5)
    left, right = surface[middle] == 3, surface[middle] == 4
    np.testing.assert_allclose(depth[middle, left], -2 / slope[left], rtol=1e-5)
    np.testing.assert_allclose(depth[middle, right], 1.5 / slope[right], rtol=1e-5)
    np.testing.assert_allclose(points[..., 2], depth, rtol=1e-5)


def test_a_camera_that_looks_down_sees_the_floor_nearer():
    box = _Box(**{**STRAIGHT, 'pitch': np.deg2rad(20)})
    depth, surface, _ = box.trace(ROOM_SIZE)
    middle, last = ROOM_SIZE // 2, ROOM_SIZE - 1
    down = ((last + 0.5) / ROOM_SIZE - 0.5) * ROOM_SIZE / FOCAL_LENGTH
    expected = 1 / (np.sin(box.pitch) + np.cos(box.pitch) * down)
    assert surface[last, middle] == 0
    assert depth[last, middle] == pytest.approx(expected, rel=1e-5)


def test_haze_is_its_formula():
    shape = (ROOM_SIZE, ROOM_SIZE)
    paint, depth = np.zeros((*shape, 3), np.float32), np.full(shape, 5, np.float32)
    room = Room(paint, depth, np.zeros(shape, int), (), haziness=2.0)
    for jitter in (0.0, 0.25):
        clear = np.exp(-5 / (5 * np.exp(2.0 * jitter)))
        mean = room.image(jitter, np.random.default_rng(0)).mean((0, 1))
        np.testing.assert_allclose(mean, np.array(AIR) * (1 - clear) - 0.5, atol=0.2)


def test_rooms_hold_their_things_at_one_depth_each():
    rng = np.random.default_rng(0)
    things = World().things
    for _ in range(5):
        chosen = rooms.some_things(things, rng)
        room = draw_room(chosen, rng)
        assert 2 <= len(chosen) <= 5 and room.things == tuple(chosen)
        assert 0.2 < room.depth.min() and room.depth.max() <= 10
        for index in range(len(chosen)):
            depths = room.depth[room.labels == len(SURFACES) + index]
            assert np.ptp(depths) == 0 if len(depths) else True
        assert (room.labels >= len(SURFACES)).any()


def test_lists_and_files_are_nyus(out):
    numbers = []
    for haze in rooms.HAZE_JITTERS:
        for split, number in rooms.ROOMS.items():
            lines = (out / haze / f'{split}.txt').read_text().splitlines()
            assert len(lines) == round(SCALE * number)
            for line in lines:
                image, depth, focal = line.split()
                assert float(focal) == FOCAL_LENGTH
                assert depth == image.replace('/rgb_', '/sync_depth_')
                meters = cv2.imread(str(out / haze / depth), cv2.IMREAD_UNCHANGED)
                assert meters.dtype == np.uint16 and meters.shape == (128, 128)
                limit = rooms.SCENES[image.split('/')[0]]
                assert 200 < meters.min() and meters.max() <= 1000 * limit
                assert cv2.imread(str(out / haze / image)).shape == (128, 128, 3)
                numbers.append(image[-9:-4])
    assert len(set(numbers)) == len(numbers) / 2


def test_both_hazes_show_the_same_rooms(out):
    images = []
    lists = [(out / haze / 'test.txt').read_text() for haze in rooms.HAZE_JITTERS]
    assert lists[0] == lists[1]
    image, depth, _ = lists[0].splitlines()[0].split()
    for name in (image, depth):
        images.append([(out / haze / name).read_bytes() for haze in rooms.HAZE_JITTERS])
    assert images[0][0] != images[0][1] and images[1][0] == images[1][1]


def test_no_unseen_thing_stands_in_a_training_room(tmp_path, monkeypatch):
    world, shown = World(scale=0.1), []

    def record(things, rng):
        shown.append({world.split_of[thing.name] for thing in things})
        return draw_room(things, rng)

    monkeypatch.setattr(rooms, 'draw_room', record)
    rooms.write(tmp_path, world, lambda: None)
    assert len(shown) == rooms.count(world) == 70
    assert set().union(*shown[:30]) == {'base', 'novel'}
    assert set().union(*shown[40:]) == {'base', 'novel', 'unseen'}
