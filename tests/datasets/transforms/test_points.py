"""Transforms of point clouds against hand-computed cases and the official augmentation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mmclip.datasets.transforms.point_augment import rotation, scale_shift
from mmclip.datasets.transforms.points import farthest_points
from mmclip.io.point_pose import turn_up, unit_sphere
from mmclip.registry import TRANSFORMS

CLOUD = np.random.RandomState(0).uniform(-1, 1, (50, 3)).astype(np.float32)


def run(name, points=CLOUD, seed=0, **options):
    np.random.seed(seed)
    transform = TRANSFORMS.build(dict(type=f'mmclip.{name}', **options))
    return transform(dict(points=points.copy()))['points']


def test_scale_and_shift_are_the_official_ones(larger_oracles):
    folder = Path(larger_oracles) / 'point_clip'
    case = load_file(folder / 'train_augment.safetensors')
    bound = json.loads((folder / 'train_augment.json').read_text())['tolerance']
    ours = scale_shift(case['input/points'], case['input/scale'], case['input/shift'])
    np.testing.assert_allclose(ours, case['output/points'], **bound)


def test_random_scale_and_shift_draw_per_axis():
    scaled = run('RandomScaleShiftPoints')
    assert scaled.dtype == np.float32
    np.random.seed(0)
    scale, shift = np.random.uniform(2 / 3, 1.5, 3), np.random.uniform(-0.2, 0.2, 3)
    np.testing.assert_allclose(scaled, CLOUD * scale + shift, atol=1e-6)
    assert len(set(scale)) == 3 and not np.array_equal(
        scaled, run('RandomScaleShiftPoints', seed=1)
    )
    for bad in (dict(scale=(1.5, 0.5)), dict(scale=(-1, 1)), dict(shift=(1,))):
        with pytest.raises(ValueError, match=next(iter(bad))):
            run('RandomScaleShiftPoints', **bad)


def test_the_first_points():
    np.testing.assert_array_equal(run('FirstNPoints', num_points=7), CLOUD[:7])
    more = run('FirstNPoints', num_points=120)
    np.testing.assert_array_equal(more, np.concatenate([CLOUD, CLOUD, CLOUD[:20]]))
    with pytest.raises(ValueError, match='num_points: 0'):
        run('FirstNPoints', num_points=0)


def test_sampling():
    drawn = run('SamplePoints', num_points=20)
    assert len({tuple(p) for p in drawn.tolist()}) == 20
    assert {tuple(p) for p in drawn.tolist()} <= {tuple(p) for p in CLOUD.tolist()}
    assert not np.array_equal(drawn, run('SamplePoints', num_points=20, seed=1))
    assert run('SamplePoints', num_points=120).shape == (120, 3)
    with pytest.raises(ValueError, match="method: 'all'"):
        run('SamplePoints', method='all')


def test_farthest_points():
    line = np.array([[0, 0, 0], [1, 0, 0], [4, 0, 0], [10, 0, 0], [5.5, 0, 0]], np.float32)
    # The mean is 4.1: first 10, then the other end, then 5.5 or 4, 4.5 and 4 from the nearest.
    assert farthest_points(line, 3).tolist() == [3, 0, 4]
    chosen = run('SamplePoints', line, num_points=3, method='farthest')
    np.testing.assert_array_equal(chosen[:, 0], [10, 0, 5.5])


def test_unit_sphere_in_any_unit():
    normal = run('UnitSphereNormalize')
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1).max(), 1, atol=1e-6)
    far = CLOUD.astype(np.float64) * 1000 + [5e6, -3e4, 7]  # millimeters on a map
    np.testing.assert_allclose(unit_sphere(far), normal, atol=1e-6)
    pair = np.array([[0, 0, 0], [0, 0, 4]], np.float32)
    np.testing.assert_array_equal(unit_sphere(pair), [[0, 0, -1], [0, 0, 1]])
    for flat in (np.ones((3, 3), np.float32), np.empty((0, 3), np.float32)):
        with pytest.raises(ValueError, match='points'):
            unit_sphere(flat)


@pytest.mark.parametrize('up', ['x', 'y', 'z', '-x', '-y', '-z'])
def test_axis_up_is_a_rotation_onto_y(up):
    matrix = turn_up(np.eye(3), up).T  # columns are where the axes go
    assert np.linalg.det(matrix) == pytest.approx(1)
    axis = np.eye(3)['xyz'.index(up[-1])] * (-1 if up[0] == '-' else 1)
    np.testing.assert_array_equal(matrix @ axis, [0, 1, 0])
    np.testing.assert_allclose(run('AxisUp', up=up), CLOUD @ matrix.T, atol=1e-7)


def test_axis_up_refuses_others():
    with pytest.raises(ValueError, match="up: 'w'"):
        run('AxisUp', up='w')


def test_shuffle_keeps_the_set():
    shuffled = run('ShufflePoints')
    assert not np.array_equal(shuffled, CLOUD)
    np.testing.assert_array_equal(np.sort(shuffled, 0), np.sort(CLOUD, 0))


def test_rotation():
    np.testing.assert_allclose(rotation(90, 0, 0) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(0, 90, 0) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(0, 0, 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    turned = run('RandomRotatePoints')
    np.testing.assert_allclose(turned[:, 1], CLOUD[:, 1], atol=1e-6)  # yaw leaves y
    radius = np.linalg.norm(CLOUD[:, ::2], axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned[:, ::2], axis=1), radius, atol=1e-6)
    assert not np.allclose(turned, CLOUD)
    np.testing.assert_allclose(run('RandomRotatePoints', yaw=0), CLOUD, atol=1e-7)
    with pytest.raises(ValueError, match='pitch: -1'):
        run('RandomRotatePoints', pitch=-1)


def test_cut_points():
    cut = run('CutPoints', share=(0.4, 0.4))
    assert cut.shape == CLOUD.shape
    kept = {tuple(p) for p in cut.tolist()}
    gone = {tuple(p) for p in CLOUD.tolist()} - kept
    assert len(kept) == 30 and len(gone) == 20
    # A plane parts the two: that of the direction that was drawn.
    np.random.seed(0)
    np.random.random(), np.random.uniform(0.4, 0.4)
    normal = np.random.normal(size=3)
    assert max(np.dot(p, normal) for p in kept) < min(np.dot(p, normal) for p in gone)
    np.testing.assert_array_equal(run('CutPoints', prob=0.0), CLOUD)
    assert run('CutPoints', CLOUD[:1], share=(0.9, 0.9)).shape == (1, 3)
    for bad in (dict(share=(0, 1)), dict(share=(-1, 0.5)), dict(prob=2)):
        with pytest.raises(ValueError, match=next(iter(bad))):
            run('CutPoints', **bad)


def test_jitter():
    many = np.zeros((4000, 3), np.float32)
    noise = run('JitterPoints', many, std=0.1, clip=0.15)
    assert noise.dtype == np.float32 and np.abs(noise).max() == np.float32(0.15)
    # 13.4 % of a normal distribution lie beyond 1.5 standard deviations.
    assert abs((np.abs(noise) == np.float32(0.15)).mean() - 0.1336) < 0.02
    assert np.abs(run('JitterPoints', many, std=0.1, clip=None)).max() > 0.3
    with pytest.raises(ValueError, match='std: -1'):
        run('JitterPoints', std=-1)


def test_load_and_pack(tmp_path):
    np.save(tmp_path / 'a.npy', CLOUD)
    load = TRANSFORMS.build(dict(type='mmclip.LoadPoints', num_points=20))
    pack = TRANSFORMS.build(dict(type='mmclip.PackPointInputs'))
    row = dict(points_path=str(tmp_path / 'a.npy'), gt_label=3, sample_index=5)
    packed = pack(load(row))
    assert packed['inputs'].shape == (20, 3) and packed['inputs'].dtype == torch.float32
    sample = packed['data_samples']
    assert int(sample.gt_label) == 3 and sample.sample_index == 5
    assert sample.points_path.endswith('a.npy')
    with pytest.raises(FileNotFoundError, match='points_path: .*none.npy'):
        load(dict(points_path=str(tmp_path / 'none.npy')))


def test_points_in_memory_are_checked():
    load = TRANSFORMS.build(dict(type='mmclip.LoadPoints'))
    loaded = load(dict(points=np.c_[CLOUD, CLOUD].astype(np.float64)))['points']
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, CLOUD)
    with pytest.raises(ValueError, match='points: a.h5: 50 of 50 points are NaN'):
        load(dict(points=CLOUD * np.nan, points_path='a.h5'))
    packed = TRANSFORMS.build(dict(type='mmclip.PackPointInputs'))(dict(points=CLOUD))
    assert 'gt_label' not in packed['data_samples']
