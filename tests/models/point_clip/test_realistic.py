"""V2's projection: the grid by hand, pooling and smoothing against torch's own, ragged batches."""

import pytest
import torch
import torch.nn.functional as F

from mmclip.models.point_clip.realistic import (
    GridSqueeze,
    RealisticDepthProjector,
    gaussian_kernel,
)


def projector(**options) -> RealisticDepthProjector:
    settings = dict(
        resolution=16,
        depth=6,
        pool=3,
        pool_padding=1,
        image_size=None,
        views=[(0, 0, 0)],
        tilts=None,
    )
    return RealisticDepthProjector(**{**settings, **options})


def clouds(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, generator=generator) - 0.5 for n in lengths]


def test_the_grid_by_hand():
    """Box of side 2; x, y to 0.5 (v + 1) 16 with v scaled by 0.5; depth to 4 (0.5 z + 0.5)."""
    points = torch.tensor([[[-1.0, -1, -1], [1, 1, 1], [0.2, -0.6, 0.5]]])
    grids = projector(scale=0.5, depth_bias=0.0).grids(points)[0, 0]
    filled = {tuple(cell): float(grids[tuple(cell)]) for cell in grids.nonzero().tolist()}
    # The first point's layer is 0 and its value at least 1.
    assert filled == {
        (0, 4, 4): pytest.approx(1),
        (4, 12, 12): pytest.approx(4),
        (3, 9, 6): pytest.approx(3),
    }


def test_squeeze_is_pool_and_gaussian_in_three_dimensions():
    grids = torch.rand(2, 6, 12, 12, generator=torch.Generator().manual_seed(1))
    squeeze = GridSqueeze(
        pool=(2, 5), pool_padding=(1, 2), gaussian=(3, 3), sigma=(1.0, 2.0), padding=(1, 1)
    )
    volume = F.max_pool3d(grids[:, None], (2, 5, 5), 1, (1, 2, 2))
    volume = F.conv3d(volume, squeeze.kernel[None, None], padding=1)
    nearest = volume[:, 0].amax(1)
    torch.testing.assert_close(squeeze(grids), 1 - nearest / nearest.amax((1, 2), keepdim=True))


def test_gaussian_by_hand():
    kernel = gaussian_kernel(3, 1.0)
    side = torch.exp(torch.tensor(-0.5))
    torch.testing.assert_close(kernel, torch.stack([side, side * 0 + 1, side]) / (1 + 2 * side))


def test_size_and_position_of_the_cloud_do_not_matter():
    (cloud,) = clouds(100)
    project = projector(views='realistic10', tilts='official')
    # Powers of two, so that no point crosses a voxel's border by rounding.
    moved = project.depth_maps((cloud * 4)[None])
    assert (moved - project.depth_maps(cloud[None])).abs().gt(1e-4).float().mean() < 0.01


def test_ragged_clouds_are_as_if_alone_in_any_chunks():
    parts = clouds(40, 1, 200)
    project = projector(views='realistic10', tilts='official', image_size=20)
    together = project(parts)
    assert together.shape == (3, 10, 3, 20, 20)
    for cloud, images in zip(parts, together, strict=True):
        torch.testing.assert_close(project(cloud[None])[0], images)
    small = projector(views='realistic10', tilts='official', image_size=20, points_chunk=11)
    torch.testing.assert_close(small(parts), together)


def test_no_cloud_and_no_point():
    project = projector()
    assert project([]).shape == (0, 1, 3, 16, 16)
    maps = project.depth_maps([torch.empty(0, 3), *clouds(9)])
    assert (maps[0] == 1).all() and maps[1].min() == 0


def test_a_broken_point_does_not_spoil_the_cloud():
    (cloud,) = clouds(30)
    broken = torch.cat([cloud, torch.tensor([[float('nan'), 0, 0]])])
    torch.testing.assert_close(projector()([broken]), projector()([cloud]))


def test_normalization_is_an_option():
    parts = clouds(30)
    plain = projector()(parts)
    normed = projector(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.5))(parts)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.1, 0.2, 0.5])
    torch.testing.assert_close(normed, (plain - mean.view(3, 1, 1)) / std.view(3, 1, 1))


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(tilts=[(0, 0, 0)] * 2), 'tilts: 2 for 1 views'),
        (dict(tilts='official'), 'tilts: 10 for 1 views'),
        (dict(depth=2), 'depth: 16 and 2'),
        (dict(pool_padding=4), 'pool_padding'),
        (dict(mean=(0, 0, 0)), 'mean, std: .* give both or neither'),
        (dict(points_chunk=0), 'points_chunk: 0'),
    ],
)
def test_mistakes(options, told):
    with pytest.raises(ValueError, match=told):
        projector(**options)
