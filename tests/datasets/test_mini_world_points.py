"""MiniWorld's clouds: solids by closed form, clouds in the unit sphere, ModelNet's layouts."""

import sys

import numpy as np
import pytest

from mmclip.cli import mini_world as command
from mmclip.datasets.mini_world import make, points
from mmclip.datasets.mini_world.draw import outlines
from mmclip.datasets.mini_world.extrusion import Extrusion, rotation
from mmclip.datasets.mini_world.world import SHAPES

h5py = pytest.importorskip('h5py')
SCALE = 0.05
COUNTS = {'train': 2, 'val': 1, 'test': 2}


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['points'], scale=SCALE, processes=1, report=lambda line: None)
    return folder / 'points'


def area(shape):
    """Of the face, by the shoelace formula."""
    sizes = []
    for x, y in (outline.T for outline in outlines(shape)):
        sizes.append(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)
    return sizes[0] - sum(sizes[1:])


@pytest.mark.parametrize('shape', SHAPES)
def test_meshes_are_closed_look_outwards_and_have_the_volume_of_the_solid(shape):
    turn = rotation(0.1, -0.2, 0.7)
    vertices, faces = Extrusion(shape, 0.3, turn).mesh()
    edges = [(f[k], f[(k + 1) % 3]) for f in faces.tolist() for k in range(3)]
    assert len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)
    corners = vertices[faces]
    volume = (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert volume == pytest.approx(0.3 * area(shape), rel=1e-9)


@pytest.mark.parametrize('shape', SHAPES)
def test_points_lie_on_the_surface_by_area(shape):
    solid = Extrusion(shape, 0.4, np.eye(3))
    found, normals = solid.sample(4000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    on_face = np.abs(normals[:, 2]) == 1
    np.testing.assert_allclose(found[on_face, 2], 0.2 * normals[on_face, 2])
    assert np.abs(found[~on_face, 2]).max() <= 0.2
    edges = [np.roll(o, -1, 0) - o for o in outlines(shape)]
    wall = 0.4 * sum(np.linalg.norm(edge, axis=1).sum() for edge in edges)
    share = 2 * area(shape) / (2 * area(shape) + wall)
    assert on_face.mean() == pytest.approx(share, abs=0.03)
    # The flux of the position through a closed surface is three times the volume.
    surface = 2 * area(shape) + wall
    flux = (found * normals).sum(1).mean() * surface
    assert flux == pytest.approx(3 * 0.4 * area(shape), rel=0.06)


def test_rotations_turn_the_right_way():
    quarter = np.pi / 2
    np.testing.assert_allclose(rotation(0, 0, quarter) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(0, quarter, 0) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(quarter, 0, 0) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_shapes_stand_upright():
    """The tip of a house is at its top: above its middle there is little, and in the middle."""
    found, _ = Extrusion('house', 0.2, np.eye(3)).sample(4000, np.random.default_rng(0))
    top, bottom = found[found[:, 1] > 0.6], found[found[:, 1] < -0.6]
    assert len(top) < len(bottom) and np.abs(top[:, 0]).max() < 0.5 < np.abs(bottom[:, 0]).max()


def test_poses_are_near_the_front_but_for_a_full_turn():
    rng = np.random.default_rng(0)
    for full in (False, True):
        turns = [points.draw_object('star', rng, full_turn=full).turn[:, 2] for _ in range(200)]
        yaw = np.abs([np.arctan2(x, z) for x, _, z in turns])
        assert (yaw.max() <= np.pi / 4 + 1e-9) == (not full)
        assert yaw.max() > (3 if full else 0.75)


def test_clouds_fill_the_unit_sphere_and_a_cut_takes_a_quarter():
    rng = np.random.default_rng(0)
    ball = points.draw_object('circle', rng)
    whole, cut = (points.draw_cloud(ball, v, np.random.default_rng(1)) for v in ('clean', 'cut'))
    assert whole.shape == cut.shape == (1024, 3) and whole.dtype == cut.dtype == np.float32
    for cloud, noise in ((whole, 0.01), (cut, 0.02)):
        assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=3 * noise * 3**0.5)
        np.testing.assert_allclose(cloud.mean(0), 0, atol=0.005)
    flat = ball.turn[:, :2]  # of a whole disc both extents in its plane are equal, of a cut one not
    spread = [np.linalg.eigvalsh(np.cov((cloud @ flat).T)) for cloud in (whole, cut)]
    assert spread[0][1] / spread[0][0] < 1.2 < spread[1][1] / spread[1][0]


@pytest.mark.parametrize('variant', points.VARIANTS)
def test_h5_files_are_modelnets(out, variant):
    folder = out / variant
    assert (folder / 'shape_names.txt').read_text().split() == list(SHAPES)
    for split, number in COUNTS.items():
        name = (folder / f'{split}_files.txt').read_text().strip()
        with h5py.File(folder / name) as file:
            data, label = file['data'][:], file['label'][:]
        assert data.shape == (12 * number, 1024, 3) and data.dtype == np.float32
        assert label.shape == (12 * number, 1) and label.dtype == np.uint8
        assert label.ravel().tolist() == list(range(12)) * number
        assert np.linalg.norm(data, axis=2).max() < 1.11


def test_meshes_and_texts_are_the_clean_objects_in_modelnets_layouts(out):
    assert (out / 'txt/modelnet40_shape_names.txt').read_text().split() == list(SHAPES)
    with h5py.File(out / 'clean/ply_data_test0.h5') as file:
        clouds = file['data'][:]
    names = (out / 'txt/modelnet40_test.txt').read_text().split()
    assert names[:2] == ['circle_0004', 'square_0004'] and len(names) == 24
    for name, cloud in zip(names[:12], clouds, strict=False):
        shape = name.split('_')[0]
        lines = (out / f'off/{shape}/test/{name}.off').read_text().splitlines()
        vertices, faces, _ = map(int, lines[1].split())
        assert lines[0] == 'OFF' and len(lines) == 2 + vertices + faces
        mesh = np.array([line.split() for line in lines[2 : 2 + vertices]], float)
        text = np.loadtxt(out / f'txt/{shape}/{name}.txt', delimiter=',')
        assert text.shape == (1024, 6)
        assert np.linalg.norm(text[:, :3], axis=1).max() == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(np.linalg.norm(text[:, 3:], axis=1), 1, atol=1e-3)
        upright = np.stack([mesh[:, 0], mesh[:, 2], -mesh[:, 1]], 1)
        sizes = [np.ptp(p, axis=0) / np.ptp(p, axis=0).max() for p in (upright, text[:, :3], cloud)]
        np.testing.assert_allclose(sizes[1], sizes[0], atol=0.06)
        np.testing.assert_allclose(sizes[2], sizes[0], atol=0.1)
    files = {p.stem for p in (out / 'off').rglob('*.off')}
    assert len(files) == 12 * 5 and files == {p.stem for p in (out / 'txt').rglob('*_0*.txt')}


def test_without_h5py_the_part_is_an_error_and_left_out_by_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"'points' needs h5py: pip install 'mmclip\[points\]'"):
        make.make(tmp_path, parts=['rooms', 'points'], scale=SCALE, report=lambda line: None)
    assert not list(tmp_path.iterdir())
    made = []
    monkeypatch.setattr(command, 'make', lambda out, *, parts, **_: made.extend(parts))
    monkeypatch.setattr(sys, 'argv', ['make_mini_world.py', '--out', str(tmp_path)])
    command.main()
    assert made == [part for part in make.PARTS if part != 'points']
    assert 'points is left out: h5py is missing' in capsys.readouterr().out
