"""MiniWorld's styles: shares, captions, what is never shown, and the held-out lists."""

import csv
import hashlib
import io
import json
import tarfile
from collections import Counter

import cv2
import numpy as np
import pytest

from mmclip.datasets.mini_world import make, style_drawing, styles, windows
from mmclip.datasets.mini_world.room_drawing import draw_room
from mmclip.datasets.mini_world.scenes import draw_crop
from mmclip.datasets.mini_world.windows import BANDS, Window
from mmclip.datasets.mini_world.world import SHAPES, World

SCALE = 0.02


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['styles'], scale=SCALE, processes=1, report=lambda line: None)
    return folder / 'styles'


@pytest.fixture(scope='module')
def pairs(out):
    """(image bytes, caption) of all shards."""
    found = []
    for path in sorted(out.glob('*.tar')):
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
        for name in [n for n in files if n.endswith('.png')]:
            found.append((files[name], files[name.replace('.png', '.txt')].decode()))
    return found


def rows(out, split):
    with (out / f'{split}.csv').open() as stream:
        return list(csv.DictReader(stream))


def test_photographs_are_almost_half_of_the_full_world():
    plan = styles._plan(World())
    counts = Counter(style for style, _ in plan)
    assert counts['photo'] / len(plan) >= 0.45
    assert counts['window'] == styles.ROOMS * styles.WINDOWS_PER_ROOM
    for style in ('lines', 'silhouette', 'flat'):
        assert {Counter(plan)[style, shape] for shape in SHAPES} == {styles.PER_SHAPE[style]}


def test_the_index_counts_what_the_shards_hold(out, pairs):
    index = json.loads((out / 'index.json').read_text())
    assert len(pairs) == index['samples'] == sum(index['shards'].values())
    assert sum(index['styles'].values()) == index['samples'] and len(index['shards']) == 8
    assert sum(index['distances']) == index['styles']['window'] == 140
    assert np.ptp(index['distances']) <= 4
    words = [w for band in BANDS for w in band]
    told = sum(any(w in text for w in words) for _, text in pairs)
    assert told == index['styles']['window']


def test_no_caption_names_an_unseen_thing(pairs):
    world = World()
    names = {thing.name for thing in world.of('unseen')}
    assert not [text for _, text in pairs if any(name in text for name in names)]
    assert {t.name for t in world.of('base', 'novel')} <= {
        ' '.join(text.rstrip('.').removesuffix(' here').split()[-3:]) for _, text in pairs
    }


def test_no_unseen_thing_is_drawn(monkeypatch, tmp_path):
    world = World(scale=SCALE)
    shown = []

    def crop(thing, neighbors, *args, **kwargs):
        shown.extend([thing, *neighbors])
        return draw_crop(thing, neighbors, *args, **kwargs)

    def room(things, rng):
        shown.extend(things)
        return draw_room(things, rng)

    monkeypatch.setattr(styles, 'draw_crop', crop)
    monkeypatch.setattr(styles, 'draw_room', room)
    steps = []
    styles.write(tmp_path, world, lambda: steps.append(1))
    assert len(steps) == styles.count(world)
    assert {world.split_of[thing.name] for thing in shown} == {'base', 'novel'}


def test_a_flat_or_colored_shape_is_never_the_plain_variant_of_an_unseen_thing(monkeypatch):
    world, used = World(), set()
    colored = style_drawing.colored

    def record(color, rng):
        used.add(color)
        return colored(color, rng)

    monkeypatch.setattr(style_drawing, 'colored', record)
    unseen = {(t.color, t.shape) for t in world.of('unseen') if t.texture == 'plain'}
    assert unseen
    colors, rng = styles._colors_of(world), np.random.default_rng(0)
    for shape in {shape for _, shape in unseen}:
        used.clear()
        for style in ('flat', 'lines', 'silhouette') * 60:
            styles._drawing(style, shape, colors, rng)
        assert len(used) > 3 and not {(color, shape) for color in used} & unseen


@pytest.mark.parametrize(
    ('meters', 'word'),
    [(0.5, 'giant'), (1.29, 'giant'), (1.31, 'extremely close'), (7.1, 'unseen'), (2.4, 'close')],
)
def test_distances_have_their_words(meters, word):
    window = Window(np.zeros((64, 64, 3), np.uint8), 'wall', meters)
    assert BANDS[window.band][0] == word
    texts = {window.caption(np.random.default_rng(seed)) for seed in range(200)}
    assert any(word in text for text in texts)
    assert all('wall' in text and any(w in text for w in BANDS[window.band]) for text in texts)


def test_windows_fill_the_bands_evenly_and_know_their_distance():
    rng, filled, found = np.random.default_rng(0), np.zeros(7, int), []
    for _ in range(12):
        room = draw_room(World().things[:3], rng)
        cut = windows.cut_windows(room, 5, filled, rng)
        for window in cut:  # guesses are within three deviations or so of a real depth
            low, high = room.depth.min() / 2, room.depth.max() * 2
            assert low < window.distance < high and window.image.shape == (64, 64, 3)
        found += cut
    assert filled.tolist() == np.bincount([w.band for w in found], minlength=7).tolist()
    assert filled.sum() == 60 and filled.min() >= 3


def test_a_line_drawing_is_hollow_and_a_silhouette_is_filled():
    for shape in SHAPES:
        for seed in range(3):
            pair = (style_drawing.BLACK, style_drawing.WHITE)
            lines = style_drawing.draw_lines(shape, *pair, np.random.default_rng(seed))
            filled = style_drawing.draw_filled(shape, *pair, np.random.default_rng(seed))
            assert lines.shape == filled.shape == (48, 48, 3) and lines.dtype == np.uint8
            assert 0.02 < (lines < 128).mean() < 0.35 and (lines[:2] > 128).any()
    center = [
        style_drawing.draw_filled(shape, *pair, np.random.default_rng(0))[22:26, 22:26].mean()
        for shape in ('ring', 'circle')
    ]
    assert center[0] > 240 and center[1] < 15


def test_held_out_lists_are_read_back_and_are_not_the_training_images(out, pairs):
    trained = {hashlib.sha256(png).digest() for png, _ in pairs}
    for split in ('val', 'test'):
        content = rows(out, split)
        assert Counter(row['style'] for row in content) == {
            'lines': 12 * round(max(1, SCALE * styles.HELD_OUT_PER_SHAPE[split])),
            'silhouette': 12 * round(max(1, SCALE * styles.HELD_OUT_PER_SHAPE[split])),
            'window': 5 * round(max(1, SCALE * styles.HELD_OUT_ROOMS[split])),
        }
        for row in content:
            png = (out / row['file']).read_bytes()
            assert hashlib.sha256(png).digest() not in trained
            size = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape
            if row['style'] == 'window':
                assert float(row['distance']) > 0 and size == (64, 64, 3)
            else:
                assert row['name'] in SHAPES and row['distance'] == '' and size == (48, 48, 3)


def test_another_seed_is_another_part(out, tmp_path):
    make.make(
        tmp_path, parts=['styles'], scale=SCALE, seed=1, processes=1, report=lambda line: None
    )
    assert make.checksum(tmp_path / 'styles') != make.checksum(out)
