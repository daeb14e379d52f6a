"""PointCLIP's projection: sparse perspective depth maps from several views."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.model import BaseModule

from mmclip.models.point_clip.clouds import Clouds, check_clouds, flatten_clouds
from mmclip.models.point_clip.map_images import (
    CLIP_MEAN,
    CLIP_STD,
    MapImages,
    near_values,
    positive_size,
)
from mmclip.models.point_clip.view_sets import rotation_matrices, view_angles
from mmclip.registry import MODELS

VALUES = ('official', 'near')
_EPS = 1e-12
_CPU_CELLS, _GPU_CELLS = 2**20, 2**28  # pixels whose weights are held at a time


class DepthAccumulator:
    """Sums that give the harmonic mean of the depths which fall on each pixel of M maps.

    A point at depth z adds 1 / z to the weight of its pixels and z (1 / z) = 1 to their value;
    value / weight is n / sum(1 / z), 0 where nothing falls.

    Source: SimpleView's projection, as PointCLIP has it (``points2depth``). The official distance
    of a point to a pixel's center is computed and used nowhere; here it is left out.

    Args:
        num_maps: M.
        size: (H, W) in pixels. Rows go along x, columns along y; x is also scaled by W / H.
        splat: Pixels that a point covers along (x, y): 1 or even numbers.
        values, weights: (M H W,) float32 buffers of zeros.
    """

    def __init__(
        self,
        num_maps: int,
        size: tuple[int, int],
        splat: tuple[int, int],
        *,
        values: torch.Tensor,
        weights: torch.Tensor,
    ) -> None:
        self.num_maps, self.size, self.splat = num_maps, size, splat
        self.values, self.weights = values, weights

    def add(
        self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, maps: torch.Tensor
    ) -> torch.Tensor:
        """Add points that are in the camera's space already, z being the depth in front of it.

        Shapes:
            x, y, z and maps (int64, below M) are of one shape; returns the cells (n,) int64 that
            were added to, some of them more than once.
        """
        height, width = self.size
        far = z + _EPS
        rows, columns = (x / far).mul_(width / height), y / far
        rows, columns = (
            torch.ceil(
                coordinate.add_(1).mul_(side / 2)[..., None] + self._offsets(count, z.device)
            )
            for coordinate, side, count in zip((rows, columns), self.size, self.splat, strict=True)
        )
        rows, columns = rows[..., :, None], columns[..., None, :]  # (..., sx, 1), (..., 1, sy)
        inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
        inside &= z[..., None, None] >= 0  # NaN is nowhere
        # In whole numbers: float32 ends at 2^24 of them.
        cells = rows.long().add(maps[..., None, None] * height).mul_(width).add(columns.long())
        cells.masked_fill_(~inside, 0)  # what is outside adds zeros somewhere
        weight = torch.where(inside, far.reciprocal_()[..., None, None], 0.0)
        self.weights.scatter_add_(0, cells.flatten(), weight.flatten())
        value = torch.where(inside, z[..., None, None] * weight, 0.0)
        self.values.scatter_add_(0, cells.flatten(), value.flatten())
        return cells.flatten()

    @staticmethod
    def _offsets(count: int, device: torch.device) -> torch.Tensor:
        return torch.arange(count, device=device) - count / 2

    def finish(self, cells: torch.Tensor | None) -> None:
        """Turn ``values`` into depths, 0 where there is no point, and ``weights`` into zeros again.

        Args:
            cells: Those that were added to, if they are fewer than all; maps are mostly empty.
        """
        tiny = torch.finfo(self.weights.dtype).tiny
        if cells is None:
            self.values.div_(self.weights.clamp_min_(tiny))
            self.weights.zero_()
        else:  # a cell that comes twice gets the same number twice
            depths = self.values.gather(0, cells) / self.weights.gather(0, cells).clamp_min_(tiny)
            self.values.scatter_(0, cells, depths)
            self.weights.scatter_(0, cells, 0.0)


def _zeros(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Zeros; on a CPU NumPy's, whose pages are not touched before something is written there."""
    if device.type == 'cpu':
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, device=device)


@MODELS.register_module()
class PerspectiveDepthProjector(BaseModule):
    """Depth maps of clouds in perspective, as images for CLIP.

    Each point is turned by R = Rx Ry Rz of the view and moved away from the camera by ``distance``;
    u = x / z and v = y / z in [-1, 1] are its row and its column. A pixel is the harmonic mean of
    the depths of its points.

    Source: Zhang et al. 2021 (arXiv 2112.02413), section 3.1; official ``PCViews``. Zero-shot:
    6 views, 128 pixels, distance 1.6, up-sampled to 224; few-shot: 10 views, 224 pixels, 1.4.

    Args:
        views: A view set by its name (:mod:`mmclip.models.point_clip.view_sets`) or V triples of
            angles in units of pi.
        resolution: Side of the maps in pixels, or (H, W).
        distance: From the camera to the origin, in units of the cloud.
        splat: Pixels that a point covers along each side: 1 or an even number, or one for each.
        image_size: Side of the images in pixels, to which maps are resized (bilinear, corners
            aligned); None keeps ``resolution``.
        values: ``'official'``: pixels are depths, empty ones 0, and nothing is normalized, as in
            the official code. ``'near'``: empty pixels are 0, the others 1 - 0.6 (z - min) /
            (max - min) over the map, so what is near is bright; then CLIP's mean and std.
        mean, std: Of ``'near'``, for values in 0 to 1.
        points_chunk: Points times views times pixels of a splat that are handled at a time.

    Shapes:
        (B, N, 3) or B tensors (N_i, 3) -> (B, V, 3, S, S).

    Raises:
        ValueError: a bad argument.
    """

    def __init__(
        self,
        *,
        views: str | Sequence[Sequence[float]] = 'zero_shot6',
        resolution: int | tuple[int, int] = 128,
        distance: float = 1.6,
        splat: int | tuple[int, int] = 1,
        image_size: int | None = 224,
        values: str = 'official',
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        points_chunk: int = 2**20,
    ) -> None:
        super().__init__()
        angles = view_angles(views)
        if values not in VALUES:
            raise ValueError(f'values: {values!r} is none of {VALUES}')
        self.num_views = len(angles)
        self.size = positive_size(resolution, 'resolution')
        self.splat = positive_size(splat, 'splat')
        if any(count > 1 and count % 2 for count in self.splat):
            raise ValueError(f'splat: {splat!r}; allowed are 1 and even numbers')
        if points_chunk < 1:
            raise ValueError(f'points_chunk: {points_chunk}; allowed are 1 and more')
        self.distance = float(distance)
        self.values = values
        self.points_chunk = points_chunk
        self.register_buffer('rotations', rotation_matrices(angles), persistent=False)
        self.to_images = MapImages(
            image_size=image_size,
            mean=mean if values == 'near' else None,
            std=std if values == 'near' else None,
        )

    @torch.no_grad()
    def depth_maps(self, clouds: Clouds) -> torch.Tensor:
        """Depths in the cloud's units, 0 where there is no point.

        Points are taken ``points_chunk`` at a time, so a cloud may have any number of them.

        Shapes:
            (B, N, 3) or B tensors (N_i, 3) -> (B, V, H, W) float32.

        Raises:
            ValueError: no clouds of points.
        """
        check_clouds(clouds)
        batch, device = len(clouds), clouds[0].device if len(clouds) else self.rotations.device
        depths = _zeros((batch, self.num_views, *self.size), device)
        # The weights of some clouds fit a CPU's cache, and one buffer serves all.
        limit = _CPU_CELLS if device.type == 'cpu' else _GPU_CELLS
        group = min(max(1, limit // depths[:1].numel()), batch) if batch else 1
        weights = torch.zeros(depths[:group].numel(), device=device)
        with torch.autocast(device.type, enabled=False):
            for start in range(0, batch, group):
                part = depths[start : start + group]
                self._fill(clouds[start : start + group], part, weights[: part.numel()])
        return depths

    def _fill(self, clouds: Clouds, depths: torch.Tensor, weights: torch.Tensor) -> None:
        """Write the maps of some clouds into (b, V, H, W) zeros."""
        points, owners, batch = flatten_clouds(clouds)
        views = self.num_views
        maps = DepthAccumulator(
            batch * views, self.size, self.splat, values=depths.view(-1), weights=weights
        )
        # (3 V, 3): one product gives all x, then all y, then all z.
        turned = self.rotations.to(points.device).transpose(0, 1).reshape(-1, 3)
        numbers = torch.arange(views, device=points.device)[:, None]
        step = max(1, self.points_chunk // (views * self.splat[0] * self.splat[1]))
        cells = None
        for start in range(0, len(points), step):
            part = points[start : start + step].float()
            x, y, z = (turned @ part.T).reshape(3, views, -1)
            places = owners[start : start + step] * views + numbers
            cells = maps.add(x, y, z.add_(self.distance), places)
        fewer = cells is not None and len(points) <= step and len(cells) < len(weights)
        maps.finish(cells if fewer else None)

    @torch.no_grad()
    def images(self, maps: torch.Tensor) -> torch.Tensor:
        """Images for CLIP of depth maps: (M, H, W) -> (M, 3, S, S)."""
        return self.to_images(near_values(maps) if self.values == 'near' else maps)

    def forward(self, clouds: Clouds) -> torch.Tensor:
        """(B, N, 3) or B tensors (N_i, 3) -> (B, V, 3, S, S)."""
        maps = self.depth_maps(clouds)
        return self.images(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
