"""MiniWorld: the same bytes from a seed, who is seen where, and parts that are whole or absent."""

import csv
import io
import json
import signal
import tarfile
import time
from collections import Counter
from pathlib import Path

import cv2
import forked
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmclip.datasets.mini_world import detection, make, scenes
from mmclip.datasets.mini_world.world import NOVEL_SHAPES, World
from mmclip.text.class_names import class_names, novel_names

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'make_mini_world.py'
SCALE = 0.02


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope='module')
def world() -> World:
    return World()


@pytest.fixture(scope='module')
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, scale=SCALE, processes=1, report=quiet)
    return folder


def annotations(out: Path, split: str) -> dict:
    return json.loads((out / f'detection/annotations/lvis_{split}.json').read_text())


def captions(out: Path) -> list[tuple[np.ndarray, str]]:
    pairs = []
    for path in sorted((out / 'captions').glob('*.tar')):
        with tarfile.open(path) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
        for name in [n for n in files if n.endswith('.png')]:
            image = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_COLOR)
            pairs.append((image, files[name.replace('.png', '.txt')].decode()))
    return pairs


def test_splits_are_384_compositions_of_which_40_are_unseen_and_128_novel(world):
    counts = Counter(world.split_of.values())
    assert counts == {'base': 216, 'novel': 128, 'unseen': 40}
    assert len(set(world.names)) == 384
    assert all(
        (t.shape in NOVEL_SHAPES) == (world.split_of[t.name] == 'novel') for t in world.things
    )
    assert World(1).split_of != world.split_of


def test_every_word_of_an_unseen_thing_is_seen_in_base_things(world):
    base = {word for thing in world.of('base') for word in thing.name.split()}
    assert all(set(thing.name.split()) <= base for thing in world.of('unseen'))


@pytest.mark.slow
def test_the_bytes_depend_on_the_seed_and_not_on_the_processes(out, tmp_path):
    make.make(tmp_path / 'again', scale=SCALE, processes=3, report=quiet)
    make.make(tmp_path / 'other', parts=['captions'], scale=SCALE, seed=1, report=quiet)
    for part in make.PARTS:
        assert make.checksum(tmp_path / 'again' / part) == make.checksum(out / part)
    assert make.checksum(tmp_path / 'other/captions') != make.checksum(out / 'captions')
    assert make.verify(out) == []


def test_training_boxes_are_base_only_and_every_file_lists_all_classes(out, world):
    for split in detection.SPLITS:
        data = annotations(out, split)
        assert [c['name'] for c in data['categories']] == list(world.names)
        assert [c['id'] for c in data['categories']] == list(range(1, 385))
        for category in data['categories']:
            assert category['split'] == world.split_of[category['name']]
            assert (category['frequency'] == 'r') == (category['split'] != 'base')
    split_of = {c['id']: c['split'] for c in data['categories']}
    assert {split_of[a['category_id']] for a in annotations(out, 'train')['annotations']} == {
        'base'
    }
    assert {split_of[a['category_id']] for a in annotations(out, 'test')['annotations']} == set(
        Counter(world.split_of.values())
    )


def test_full_world_shows_every_class_equally_often_in_val_and_test(world):
    for split, times in detection.OBJECTS_PER_CLASS.items():
        counts = Counter(t.name for things in detection.images(world, split) for t in things)
        assert set(counts.values()) == {times} and len(counts) == 384


def test_some_training_objects_are_novel_and_unlabeled_and_none_is_unseen(world):
    shown = [t for things in detection.images(world, 'train') for t in things]
    counts = Counter(world.split_of[t.name] for t in shown)
    assert counts['unseen'] == 0
    assert 0.04 < counts['novel'] / len(shown) < 0.08
    assert {t.name for t in shown if t.shape not in NOVEL_SHAPES} == {
        t.name for t in world.of('base')
    }


def test_training_file_counts_what_it_labels(out, world):
    data = annotations(out, 'train')
    things = detection.images(World(scale=SCALE), 'train')
    labeled = sum(world.split_of[t.name] == 'base' for image in things for t in image)
    assert len(data['images']) == len(things) == 30
    assert len(data['annotations']) == labeled < sum(map(len, things))
    assert sum(c['instance_count'] for c in data['categories']) == labeled
    pairs = {(a['image_id'], a['category_id']) for a in data['annotations']}
    assert sum(c['image_count'] for c in data['categories']) == len(pairs)


def test_test_images_are_judged_for_every_class(out):
    data = annotations(out, 'test')
    for image in data['images']:
        present = {a['category_id'] for a in data['annotations'] if a['image_id'] == image['id']}
        assert present.isdisjoint(image['neg_category_ids'])
        assert len(present) + len(image['neg_category_ids']) == 384
        assert image['coco_url'].endswith(image['file_name'])
        assert (out / 'detection' / image['file_name']).is_file()


def test_polygons_give_the_mask_back_and_boxes_and_areas_fit_it(world):
    rng = np.random.default_rng(0)
    rings = [t for t in world.things if t.shape == 'ring'][:2]
    for things in (rings, world.rounds(5, rng), world.rounds(5, rng)):
        image, instances = scenes.draw_scene(things, rng)
        assert image.shape == (128, 128, 3) and len(instances) == len(things)
        for instance in instances:
            rle = coco_mask.merge(coco_mask.frPyObjects(instance.polygons, 128, 128))
            np.testing.assert_array_equal(coco_mask.decode(rle), instance.mask)
            np.testing.assert_array_equal(coco_mask.toBbox(rle), instance.box)
            assert 5 < min(instance.box[2:]) and max(instance.box[2:]) <= scenes.MAX_SIDE


def test_an_object_behind_another_keeps_only_what_is_visible(world, monkeypatch):
    monkeypatch.setattr(scenes, '_place', lambda count, size, rng: [(20, 20, 40), (40, 20, 40)])
    square = next(t for t in world.things if t.shape == 'square')
    _, (behind, front) = scenes.draw_scene([square, square], np.random.default_rng(0))
    assert not (behind.mask & front.mask).any()
    assert behind.mask.sum() < 0.8 * front.mask.sum()


def test_too_many_things_for_a_image_is_an_error(world):
    with pytest.raises(ValueError, match='12 of them find no room'):
        scenes.draw_scene(world.things[:12], np.random.default_rng(0))


def test_captions_name_what_they_show_and_never_an_unseen_thing(out, world):
    pairs = captions(out)
    index = json.loads((out / 'captions/index.json').read_text())
    assert len(pairs) == index['samples'] == sum(index['shards'].values()) == 344
    assert len(index['shards']) == 8
    named = Counter(name for _, text in pairs for name in world.names if name in text)
    assert sum(named.values()) == len(pairs)
    assert set(named) == {t.name for t in world.of('base', 'novel')}
    assert all(image.shape == (48, 48, 3) for image, _ in pairs)


def test_classification_lists_hold_the_right_splits(out, world):
    seen = {}
    for split in ('train', 'val', 'test'):
        with (out / f'classification/{split}.csv').open() as stream:
            rows = list(csv.DictReader(stream))
        assert all((out / 'classification' / row['file']).is_file() for row in rows)
        assert all(row['split'] == world.split_of[row['name']] for row in rows)
        seen[split] = Counter(row['split'] for row in rows)
    assert seen['train'] == {'base': 216}
    assert seen['val'] == seen['test'] == {'base': 216, 'novel': 128, 'unseen': 40}


def test_every_class_has_an_example_image(out, world):
    examples = json.loads((out / 'detection/examples.json').read_text())
    assert list(examples) == list(world.names)
    assert all(
        (out / 'detection' / file).is_file() for files in examples.values() for file in files
    )


def test_what_is_there_is_left_alone(out):
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*') if p.is_file()}
    lines = []
    make.make(out, scale=SCALE, report=lines.append)
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*') if p.is_file()} == before
    assert 'is there' in lines[0]


@pytest.mark.slow
def test_damage_is_found_and_a_missing_part_is_made_again(tmp_path):
    make.make(tmp_path, parts=['classification'], scale=SCALE, report=quiet)
    image = tmp_path / 'classification/val/000003.png'
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + b'?')
    assert make.verify(tmp_path, parts=['classification']) == ['classification']
    image.write_bytes(whole)
    assert make.verify(tmp_path, parts=['classification']) == []
    image.unlink()
    result = forked.run(TOOL, '--out', tmp_path, '--verify')
    assert result.returncode == 1
    assert f'{tmp_path}/classification' in result.stderr and 'detection' in result.stderr
    (tmp_path / 'classification' / make.RECORD).unlink()
    make.make(tmp_path, parts=['classification'], scale=SCALE, report=quiet)
    assert make.verify(tmp_path, parts=['classification']) == []
    assert image.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize('stop', [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_make_leaves_no_half_part(tmp_path, stop):
    arguments = ('--out', tmp_path, '--parts', 'detection', '--processes', 1)
    process = forked.Forked(TOOL, *arguments)
    for _ in range(600):
        if list(tmp_path.glob('.detection.partial/train/*.png')):
            break
        time.sleep(0.05)
    process.send_signal(stop)
    assert process.wait(20) != 0
    assert not (tmp_path / 'detection').exists()
    if stop == signal.SIGINT:
        assert not (tmp_path / '.detection.partial').exists()
    make.make(tmp_path, parts=['detection'], scale=SCALE, report=quiet)
    assert make.verify(tmp_path, parts=['detection']) == []
    assert not (tmp_path / '.detection.partial').exists()


def test_a_failing_part_leaves_nothing_and_its_error_comes_through(tmp_path, monkeypatch):
    def fail(out, world, tick):
        (out / 'half.txt').write_text('half')
        raise OSError('disk full')

    monkeypatch.setattr(make.PARTS['captions'], 'write', fail)
    with pytest.raises(OSError, match='disk full'):
        make.make(tmp_path, parts=['captions'], scale=SCALE, report=quiet)
    assert not list(tmp_path.glob('*aptions*')) and not list(tmp_path.glob('.captions*'))


def test_a_new_part_is_one_module_with_two_functions(tmp_path, monkeypatch):
    class Part:
        @staticmethod
        def count(world):
            return 2

        @staticmethod
        def write(out, world, tick):
            (out / 'data.txt').write_text(world.names[0])
            tick()
            tick()

    monkeypatch.setitem(make.PARTS, 'depth', Part)
    make.make(tmp_path, parts=['depth'], report=quiet)
    assert (tmp_path / 'depth/data.txt').read_text() == 'plain red circle'
    assert make.verify(tmp_path, parts=['depth']) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(parts=['detction']), "unknown \\['detction'\\]; there are .*'detection'"),
        (dict(seed=-1), 'seed: -1'),
        (dict(scale=0), 'scale: 0'),
        (dict(processes=0), 'processes: 0'),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make.make(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_two_worlds_do_not_mix_in_one_folder(tmp_path):
    make.make(tmp_path, parts=['classification'], scale=SCALE, report=quiet)
    with pytest.raises(ValueError, match='another world'):
        make.make(tmp_path, scale=SCALE, seed=1, report=quiet)
    with pytest.raises(ValueError, match='another world'):
        make.make(tmp_path, report=quiet)


@pytest.mark.slow
def test_two_makers_at_the_same_time_make_one_world(tmp_path):
    arguments = ('--out', tmp_path, '--parts', 'classification', '--scale', SCALE)
    makers = [forked.Forked(TOOL, *arguments) for _ in range(2)]
    assert [maker.wait() for maker in makers] == [0, 0]
    said = [maker.output()[0] for maker in makers]
    assert sorted(line.split()[-1] for line in ''.join(said).splitlines()) in (
        ['made', 'there'],
        ['classification', 'made'],
    )
    assert make.verify(tmp_path, parts=['classification']) == []


def test_shards_are_plain_tar_files_with_image_and_text_side_by_side(out):
    data = (out / 'captions/train-00000.tar').read_bytes()
    names = tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert names[:4] == ['000000.png', '000000.txt', '000001.png', '000001.txt']


def test_the_vocabulary_in_the_package_is_the_worlds():
    world = World()
    assert class_names('mini_world') == world.names
    assert novel_names('mini_world') == {n for n, s in world.split_of.items() if s != 'base'}
