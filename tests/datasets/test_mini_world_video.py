"""MiniWorld's clips: who is novel, what moves how, and both lists' formats."""

import csv
import json

import numpy as np
import pytest

from mmclip.datasets.mini_world import make, video
from mmclip.datasets.mini_world.world import Thing, World
from mmclip.datasets.video_reader import open_video

THING = Thing('plain', 'red', 'square')


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['video'], scale=0.05, processes=1, report=lambda line: None)
    return folder / 'video'


def centers(motion):
    """(16, 2) x and y of the middle of the red, and its (16,) area."""
    frames = video.draw_clip(THING, motion, np.random.default_rng(0)).astype(int)
    red = (frames[..., 0] - frames[..., 1:].max(-1)) > 90
    area = red.sum((1, 2))
    y, x = np.mgrid[: video.SIZE, : video.SIZE]
    weight = np.maximum(area, 1)
    return np.stack([(red * x).sum((1, 2)) / weight, (red * y).sum((1, 2)) / weight], 1), area


def test_motions_are_what_their_names_say():
    for motion, axis, sign in (
        ('moving left', 0, -1), ('moving right', 0, 1), ('moving up', 1, -1), ('moving down', 1, 1),
    ):  # fmt: skip
        place, _ = centers(motion)
        steps = np.diff(place, axis=0)
        assert (sign * steps[:, axis] > 0.5).all() and np.abs(steps[:, 1 - axis]).max() < 1
    assert (np.diff(centers('growing')[1]) >= 0).all() and np.ptp(centers('growing')[1]) > 200
    assert (np.diff(centers('shrinking')[1]) <= 0).all()
    area = centers('blinking')[1]
    assert 0 < (area == 0).sum() < 16
    place, _ = centers('shaking')
    assert 3 < np.ptp(place[:, 0]) < 16 and np.ptp(place[:, 1]) < 1


def test_novel_pairs_are_two_of_each_shape_and_three_of_each_motion():
    novel = [name for name, split in video.action_splits().items() if split == 'novel']
    assert len(novel) == 24 and len(video.ACTIONS) == 96
    shapes = [name.split(' ', 1)[0] for name in novel]
    motions = [name.split(' ', 1)[1] for name in novel]
    assert {shapes.count(shape) for shape in shapes} == {2} and len(set(shapes)) == 12
    assert {motions.count(motion) for motion in motions} == {3} and len(set(motions)) == 8


def test_lists_and_clips(out):
    classes = json.loads((out / 'classes.json').read_text())
    rows = {
        split: [line.split() for line in (out / f'{split}.txt').read_text().splitlines()]
        for split in ('train', 'val', 'test')
    }
    shown = {
        split: {classes['splits'][classes['names'][int(label)]] for _, label in lines}
        for split, lines in rows.items()
    }
    assert shown == dict(train={'base'}, val={'base', 'novel'}, test={'base', 'novel'})
    assert {len(lines) for split, lines in rows.items() if split != 'train'} == {96}
    assert len(rows['train']) == 72
    with open_video(out / 'clips' / rows['test'][0][0]) as reader:
        assert reader.num_frames == video.FRAMES
        assert reader.read([0])[0].shape == (64, 64, 3)


def test_captions_in_the_format_of_msrvtt(out):
    data = json.loads((out / 'msrvtt.json').read_text())
    assert {v['split'] for v in data['videos']} == {'train', 'validate', 'test'}
    known = {v['video_id'] for v in data['videos']}
    assert {s['video_id'] for s in data['sentences']} == known
    assert len(data['sentences']) == len(video.SENTENCES) * len(known)
    with (out / 'msrvtt_test.csv').open() as stream:
        gallery = list(csv.DictReader(stream))
    assert list(gallery[0]) == ['key', 'vid_key', 'video_id', 'sentence'] and len(gallery) == 96
    of_video = {}
    for sentence in data['sentences']:
        of_video.setdefault(sentence['video_id'], []).append(sentence['caption'])
    assert all(row['sentence'] in of_video[row['video_id']] for row in gallery)
    with (out / 'msrvtt_train.csv').open() as stream:
        train = [row['video_id'] for row in csv.DictReader(stream)]
    assert set(train) == {v['video_id'] for v in data['videos'] if v['split'] == 'train'}


def test_no_two_test_clips_of_the_full_world_share_a_caption():
    for seed in (0, 1):
        plan = [row[1:] for row in video._plan(World(seed)) if row[0] == 'test']
        assert len(set(plan)) == len(plan) == 576
        unseen = [thing for _, thing in plan if World(seed).split_of[thing.name] == 'unseen']
        assert unseen == []
