"""V1's projection: single points by hand, ragged batches, chunks, bright-is-near values."""

import math

import pytest
import torch

from mmclip.models.point_clip.clouds import PointDataPreprocessor
from mmclip.models.point_clip.map_images import CLIP_MEAN, CLIP_STD, near_values
from mmclip.models.point_clip.perspective import PerspectiveDepthProjector
from mmclip.models.point_clip.view_sets import VIEW_SETS, rotation_matrices, view_angles


def projector(**options) -> PerspectiveDepthProjector:
    settings = dict(views='views1', resolution=16, image_size=None, distance=1.6)
    return PerspectiveDepthProjector(**{**settings, **options})


def clouds(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, generator=generator) - 0.5 for n in lengths]


def test_a_point_by_hand():
    """The front view turns (x, y) to (-y, x); u = 0.4 / 1.6 is row (1 + u) 16 / 2 = 10."""
    maps = projector().depth_maps(torch.tensor([[[0.0, -0.4, 0.0]]]))[0, 0]
    assert maps.nonzero().tolist() == [[10, 8]]
    assert maps[10, 8] == pytest.approx(1.6)


def test_points_of_one_pixel_give_the_harmonic_mean():
    points = torch.tensor([[[0.0, 0, 0.1], [0, 0, -0.1], [0, 0, 0.4]]])
    depth = projector().depth_maps(points).max()
    assert depth == pytest.approx(3 / (1 / 1.7 + 1 / 1.5 + 1 / 2.0), rel=1e-6)


def test_what_is_behind_or_beside_is_not_seen():
    points = torch.tensor([[[0.0, 0, -2.0], [9.0, 0, 0], [math.nan, 0, 0], [math.inf, 0, 0]]])
    assert (projector().depth_maps(points) == 0).all()


@pytest.mark.parametrize('views', VIEW_SETS)
def test_every_view_set_is_of_rotations(views):
    rotations = rotation_matrices(view_angles(views))
    eye = torch.eye(3).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, eye, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(len(rotations)))
    count = int(views.lstrip('abcdefghijklmnopqrstuvwxyz_'))
    assert len(set(view_angles(views))) == count


def test_a_quarter_turn_swaps_axes():
    (turn,) = rotation_matrices([(0, 0, 0.5)])
    point = turn @ torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(point, torch.tensor([-2.0, 1.0, 3.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize('splat', [1, 2, (4, 2)])
def test_ragged_clouds_are_as_if_alone(splat):
    project = projector(views='few_shot10', splat=splat, image_size=24)
    parts = clouds(50, 1, 300)
    together = project(parts)
    assert together.shape == (3, 10, 3, 24, 24)
    for cloud, images in zip(parts, together, strict=True):
        torch.testing.assert_close(project(cloud[None])[0], images)


def test_chunks_of_points_change_nothing():
    batch = torch.stack(clouds(200, 200))
    whole = projector(views='zero_shot6').depth_maps(batch)
    small = projector(views='zero_shot6', points_chunk=7).depth_maps(batch)
    torch.testing.assert_close(small, whole)


def test_no_cloud_and_no_point():
    project = projector(views='views4')
    assert project(torch.empty(0, 5, 3)).shape == (0, 4, 3, 16, 16)
    assert project([]).shape == (0, 4, 3, 16, 16)
    maps = project.depth_maps([torch.empty(0, 3), *clouds(9)])
    assert (maps[0] == 0).all() and (maps[1] > 0).any()
    near = projector(values='near', image_size=20)([torch.empty(0, 3)])
    assert near.isfinite().all()


def test_near_is_bright():
    maps = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[0.0, 5.0], [0.0, 5.0]]])
    expected = torch.tensor([[[0.0, 1.0], [0.7, 0.4]], [[0.0, 1.0], [0.0, 1.0]]])
    torch.testing.assert_close(near_values(maps), expected)


def test_near_is_normalized_and_official_is_not():
    points = torch.tensor([[[0.0, -0.4, 0.0]]])
    official, near = projector()(points)[0, 0], projector(values='near')(points)[0, 0]
    assert official[:, 0, 0].tolist() == [0, 0, 0]
    assert official[:, 10, 8].tolist() == pytest.approx([1.6] * 3)
    for channel, (mean, std) in enumerate(zip(CLIP_MEAN, CLIP_STD, strict=True)):
        assert near[channel, 0, 0] == pytest.approx(-mean / std)
        assert near[channel, 10, 8] == pytest.approx((1 - mean) / std)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(views='front'), "views: unknown view set 'front'; there are views1"),
        (dict(views=[]), 'views: expected a set'),
        (dict(views=[(0, 1)]), 'triples of finite angles'),
        (dict(values='far'), "values: 'far' is none of"),
        (dict(splat=3), 'splat: 3; allowed are 1 and even numbers'),
        (dict(resolution=0), 'resolution: 0'),
        (dict(image_size=-1), 'image_size: -1'),
        (dict(points_chunk=0), 'points_chunk: 0'),
        (dict(values='near', std=(1, 1, 0)), 'std: .* positive'),
    ],
)
def test_mistakes(options, told):
    with pytest.raises(ValueError, match=told):
        projector(**options)


@pytest.mark.parametrize('bad', [torch.rand(5, 3), torch.rand(2, 5, 4), [torch.rand(5, 2)]])
def test_what_is_no_cloud(bad):
    with pytest.raises(ValueError, match='inputs: a cloud of shape .* mmclip.PackPointInputs'):
        projector()(bad)
    with pytest.raises(ValueError, match='inputs: a cloud of shape'):
        PointDataPreprocessor()(dict(inputs=bad))


def test_preprocessor_stacks_what_is_equal():
    stack = PointDataPreprocessor()
    assert stack(dict(inputs=clouds(5, 5)))['inputs'].shape == (2, 5, 3)
    ragged = stack(dict(inputs=[cloud.double() for cloud in clouds(5, 6)]))['inputs']
    assert [tuple(cloud.shape) for cloud in ragged] == [(5, 3), (6, 3)]
    assert ragged[0].dtype == torch.float32
    assert stack(dict(inputs=[]))['inputs'] == []
