"""From maps of one channel to the images that CLIP's tower takes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def positive_size(size: int | Sequence[int], name: str) -> tuple[int, int]:
    """A whole number, or two, as a pair.

    Raises:
        ValueError: anything else.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(type(side) is not int or side < 1 for side in pair):
        raise ValueError(f'{name}: {size!r}; expected a whole number from 1 on, or two')
    return pair


def near_values(maps: torch.Tensor) -> torch.Tensor:
    """Bright where it is near: empty pixels 0, the others 1 - 0.6 (z - min) / (max - min).

    The minimum and maximum are those of the map's filled pixels; a map with one depth is 1 there.

    Shapes:
        (M, H, W) depths, 0 where empty -> (M, H, W) in 0 and 0.4 to 1.
    """
    filled = maps > 0
    low = torch.where(filled, maps, torch.inf).amin((1, 2), keepdim=True)
    high = torch.where(filled, maps, -torch.inf).amax((1, 2), keepdim=True)
    spread = (high - low).clamp_min(torch.finfo(maps.dtype).tiny)
    return torch.where(filled, 1 - 0.6 * (maps - low) / spread, 0.0)


class MapImages(nn.Module):
    """Resizes maps, repeats them on three channels and normalizes them if told to.

    Args:
        image_size: Side in pixels, or (H, W), of the images (bilinear, corners aligned); None
            keeps the size.
        mean, std: Subtracted and divided by per channel; None: neither.

    Raises:
        ValueError: a bad size; one of mean and std without the other, or not three numbers.
    """

    def __init__(
        self,
        *,
        image_size: int | Sequence[int] | None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.size = None if image_size is None else positive_size(image_size, 'image_size')
        if (mean is None) != (std is None):
            raise ValueError(f'mean, std: {mean!r} and {std!r}; give both or neither')
        self.normalizes = mean is not None
        for name, value in (('mean', mean), ('std', std)) if self.normalizes else ():
            if len(value) != 3 or (name == 'std' and min(value) <= 0):
                raise ValueError(f'{name}: {value!r}; expected three numbers, of std positive ones')
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(M, H, W) -> (M, 3, S, S)."""
        images = maps[:, None]
        if self.size is not None and tuple(maps.shape[1:]) != self.size and len(maps):
            images = F.interpolate(images, self.size, mode='bilinear', align_corners=True)
        elif self.size is not None:
            images = images.reshape(len(maps), 1, *self.size)
        images = images.expand(-1, 3, -1, -1)
        return (images - self.mean) / self.std if self.normalizes else images
