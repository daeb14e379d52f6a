"""PointCLIP V2's projection: voxel grids that are pooled, smoothed and seen from the front."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.point_clip.clouds import Clouds, flatten_clouds
from mmclip.models.point_clip.map_images import MapImages, positive_size
from mmclip.models.point_clip.view_sets import REALISTIC_TILTS, rotation_matrices, view_angles
from mmclip.registry import MODELS

# What the official code subtracts before it centers the cloud: of no use but the last bit, which
# decides on which side of a voxel's border a point lies.
_SHIFT = (0.5, 0.5, 1.5)


def gaussian_kernel(size: int, sigma: float) -> torch.Tensor:
    """(size,) weights of sum 1 around ``size // 2``."""
    distance = torch.arange(size, dtype=torch.float32) - size // 2
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    return weights / weights.sum()


class GridSqueeze(nn.Module):
    """Max-pools and smooths voxel grids, keeps the nearest voxel of each ray, dark on white.

    image = 1 - m / max(m), m = max over depth of gaussian(max_pool(grid)).

    Source: official ``Grid2Image``; pool and Gaussian are separable, so each is run along one axis
    at a time. A grid without any point is white (officially NaN).

    Args:
        pool, pool_padding: Side and padding of the max-pool as (depth, rows and columns).
        gaussian, sigma, padding: The same of the Gaussian.
    """

    def __init__(
        self,
        *,
        pool: tuple[int, int] = (1, 7),
        pool_padding: tuple[int, int] = (0, 2),
        gaussian: tuple[int, int] = (1, 3),
        sigma: tuple[float, float] = (1.0, 3.0),
        padding: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        if any(2 * pad > size for size, pad in zip(pool, pool_padding, strict=True)):
            raise ValueError(f'pool_padding: {pool_padding} is more than half of pool={pool}')
        self.pool, self.pool_padding = (
            (pool[0], *pool[1:] * 2),
            (pool_padding[0],) + (pool_padding[1],) * 2,
        )
        self.padding = (padding[0], padding[1], padding[1])
        for name, index in (('kernel_depth', 0), ('kernel_side', 1)):
            kernel = gaussian_kernel(gaussian[index], sigma[index])
            self.register_buffer(name, kernel, persistent=False)

    @property
    def kernel(self) -> torch.Tensor:
        """(d, s, s) the Gaussian, of sum 1."""
        side = self.kernel_side
        return self.kernel_depth[:, None, None] * (side[:, None] * side)

    def forward(self, grids: torch.Tensor) -> torch.Tensor:
        """(M, D, R, R) -> (M, R', R') in 0 to 1."""
        volume = grids[:, None]
        kernels = (self.kernel_depth, self.kernel_side, self.kernel_side)
        for axis in range(3):
            size, pad = [1, 1, 1], [0, 0, 0]
            size[axis], pad[axis] = self.pool[axis], self.pool_padding[axis]
            if size[axis] > 1 or pad[axis]:
                volume = F.max_pool3d(volume, size, stride=1, padding=pad)
        for axis in range(3):
            volume = _convolve(volume, kernels[axis], axis, self.padding[axis])
        nearest = volume[:, 0].amax(1)
        most = nearest.amax((1, 2), keepdim=True)
        return 1 - nearest / torch.where(most == 0, 1.0, most)


def _convolve(volume: torch.Tensor, kernel: torch.Tensor, axis: int, pad: int) -> torch.Tensor:
    """Convolve (M, 1, D, H, W) along one axis by a sum of shifted views, with zero padding."""
    axis = axis + 2
    if len(kernel) == 1 and not pad:
        return volume * kernel[0]
    borders = [0, 0] * (4 - axis) + [pad, pad]
    volume = F.pad(volume, borders)
    length = volume.shape[axis] - len(kernel) + 1
    total = volume.narrow(axis, 0, length) * kernel[0]
    for index in range(1, len(kernel)):
        total += volume.narrow(axis, index, length) * kernel[index]
    return total


@MODELS.register_module()
class RealisticDepthProjector(BaseModule):
    """PointCLIP V2's dense depth images of clouds.

    Points are turned by the view's rotation and then by its tilt, the box around them is centered
    and scaled by its longest side, x and y by ``scale``, and quantized in a grid whose voxels keep
    the largest depth; :class:`GridSqueeze` makes an image of it.

    Source: Zhu et al. 2022 (arXiv 2211.11682), section 3.2; official ``Realistic_Projection``,
    whose settings are the defaults. 110 pixels come out of 112 and are resized to 224.

    Args:
        views: A view set by its name or V triples of angles in units of pi.
        tilts: V triples of the second rotation; ``'official'`` (of 10 views: pi / 9 about y, of the
            last two pi / 15) or None for none.
        resolution: Rows and columns of the grid.
        depth: Its layers.
        scale: Of x and y.
        depth_bias: Added to the depths in 0 to 1.
        pool, pool_padding, gaussian, sigma, padding: As :class:`GridSqueeze`; a number is that
            along rows and columns.
        background: Value of empty voxels.
        image_size: Side of the images in pixels; None keeps what comes out.
        mean, std: For images in 0 to 1; None, as officially, leaves them as they are.
        points_chunk: Points times views that are handled at a time.

    Shapes:
        (B, N, 3) or B tensors (N_i, 3) -> (B, V, 3, S, S).

    Raises:
        ValueError: a bad argument.
    """

    def __init__(
        self,
        *,
        views: str | Sequence[Sequence[float]] = 'realistic10',
        tilts: str | Sequence[Sequence[float]] | None = 'official',
        resolution: int = 112,
        depth: int = 8,
        scale: float = 0.8,
        depth_bias: float = 0.2,
        pool: int | tuple[int, int] = (1, 7),
        pool_padding: int | tuple[int, int] = (0, 2),
        gaussian: int | tuple[int, int] = (1, 3),
        sigma: float | tuple[float, float] = (1.0, 3.0),
        padding: int | tuple[int, int] = (0, 1),
        background: float = 0.0,
        image_size: int | None = 224,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        points_chunk: int = 2**20,
    ) -> None:
        super().__init__()
        angles = view_angles(views)
        self.num_views = len(angles)
        rotations = rotation_matrices(angles)
        if tilts is None:
            second = torch.eye(3).repeat(len(angles), 1, 1)
        else:
            tilts = REALISTIC_TILTS if tilts == 'official' else view_angles(tilts, 'tilts')
            if len(tilts) != len(angles):
                raise ValueError(
                    f'tilts: {len(tilts)} for {len(angles)} views; give one for each, or None'
                )
            second = rotation_matrices(tilts)
        self.resolution = positive_size(resolution, 'resolution')[0]
        if self.resolution < 3 or depth < 3:
            raise ValueError(f'resolution, depth: {resolution} and {depth}; both start at 3')
        if points_chunk < 1:
            raise ValueError(f'points_chunk: {points_chunk}; allowed are 1 and more')
        self.depth, self.scale, self.depth_bias = depth, scale, depth_bias
        self.background = background
        self.points_chunk = points_chunk
        self.register_buffer('rotations', rotations, persistent=False)
        self.register_buffer('tilts', second, persistent=False)
        self.squeeze = GridSqueeze(
            pool=_pair(pool, 1),
            pool_padding=_pair(pool_padding, 0),
            gaussian=_pair(gaussian, 1),
            sigma=_pair(sigma, 1.0),
            padding=_pair(padding, 0),
        )
        self.to_images = MapImages(image_size=image_size, mean=mean, std=std)

    def _turned(self, points: torch.Tensor) -> torch.Tensor:
        """(p, 3) -> (p, V, 3)."""
        turned = torch.einsum('pc,vdc->pvd', points.float(), self.rotations)
        turned = torch.einsum('pvc,vdc->pvd', turned, self.tilts)
        return turned + turned.new_tensor(_SHIFT)

    @torch.no_grad()
    def grids(self, clouds: Clouds) -> torch.Tensor:
        """Voxels with the largest depth of their points.

        Points are taken ``points_chunk`` at a time, twice: for the box, and for the voxels.

        Shapes:
            (B, N, 3) or B tensors (N_i, 3) -> (B, V, D, R, R) float32.

        Raises:
            ValueError: no clouds of points.
        """
        points, owners, batch = flatten_clouds(clouds)
        views, device = self.num_views, points.device
        maps = batch * views
        numbers = torch.arange(views, device=device)
        step = max(1, self.points_chunk // views)
        chunks = [slice(start, start + step) for start in range(0, len(points), step)]
        low = torch.full((maps, 3), torch.inf, device=device)
        high = torch.full((maps, 3), -torch.inf, device=device)
        size, layers = self.resolution, self.depth
        cells = torch.full((maps * layers * size * size + 1,), self.background, device=device)
        with torch.autocast(device.type, enabled=False):
            for chunk in chunks:
                turned = self._turned(points[chunk]).flatten(0, 1)
                owner = (owners[chunk, None] * views + numbers).flatten()
                finite = turned.isfinite()
                index = owner[:, None].expand(-1, 3)
                low.scatter_reduce_(0, index, torch.where(finite, turned, torch.inf), 'amin')
                high.scatter_reduce_(0, index, torch.where(finite, turned, -torch.inf), 'amax')
            center, extent = (high + low) / 2, (high - low).amax(1)
            extent = torch.where(extent > 0, extent, 1.0)  # a single point, or none
            for chunk in chunks:
                turned = self._turned(points[chunk]).flatten(0, 1)
                owner = (owners[chunk, None] * views + numbers).flatten()
                unit = (turned - center[owner]) / extent[owner, None] * 2.0
                index, value = self._voxels(unit)
                inside = turned.isfinite().all(1)
                index = torch.where(inside, owner * (layers * size * size) + index, len(cells) - 1)
                cells.scatter_reduce_(0, index, torch.where(inside, value, 0.0), 'amax')
        return cells[:-1].reshape(batch, views, layers, size, size)

    def _voxels(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat voxel index and depth value of points in a box of -1 to 1: (p, 3) -> two (p,)."""
        size, bias = self.resolution, self.depth_bias
        sides = points[:, :2] * self.scale
        sides = torch.ceil((sides + 1) / 2 * size).clamp(1, size - 2)
        value = ((points[:, 2] + 1) / 2 + bias) / (1 + bias) * (self.depth - 2)
        layer = value.ceil().clamp(0, self.depth - 1)
        index = torch.nan_to_num((layer * size + sides[:, 0]) * size + sides[:, 1]).long()
        return index, value.clamp(1, self.depth - 2)

    @torch.no_grad()
    def depth_maps(self, clouds: Clouds) -> torch.Tensor:
        """Dark on white: (B, N, 3) or B tensors (N_i, 3) -> (B, V, R', R') in 0 to 1."""
        grids = self.grids(clouds)
        return self.squeeze(grids.flatten(0, 1)).unflatten(0, grids.shape[:2])

    @torch.no_grad()
    def images(self, maps: torch.Tensor) -> torch.Tensor:
        """Images for CLIP of maps: (M, R', R') -> (M, 3, S, S)."""
        return self.to_images(maps)

    def forward(self, clouds: Clouds) -> torch.Tensor:
        """(B, N, 3) or B tensors (N_i, 3) -> (B, V, 3, S, S)."""
        maps = self.depth_maps(clouds)
        return self.images(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


def _pair(value: float | Sequence[float], along_depth: float) -> tuple:
    return tuple(value) if isinstance(value, list | tuple) else (along_depth, value)
