"""The augmentation that contrastive pre-training uses."""

import torch
import torchvision.transforms.functional as F
from mmcv.transforms import BaseTransform
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CLIPRandomCrop(BaseTransform):
    """A random part of the image, resized to a square; sets ``img`` to an RGB Pillow image.

    Source: CLIP, section 2.4 ("a random square crop from resized images is the only data
    augmentation"); open_clip, which takes 90 to 100 % of the area and an aspect ratio of 3/4 to
    4/3.

    Args:
        size: Side in pixels.
        scale: Range of the share of the image's area.
        ratio: Range of the aspect ratio of the part.
        flip_prob: Probability of a horizontal flip; captions that say left or right forbid it.

    Raises:
        ValueError: ``size`` or ``flip_prob`` out of range.
    """

    def __init__(
        self,
        *,
        size: int,
        scale: tuple[float, float] = (0.9, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip_prob: float = 0.0,
    ) -> None:
        if size < 1:
            raise ValueError(f'size: {size} is not a positive number of pixels')
        if not 0 <= flip_prob <= 1:
            raise ValueError(f'flip_prob: {flip_prob} is not between 0 and 1')
        self.size = size
        self.scale = list(scale)
        self.ratio = list(ratio)
        self.flip_prob = flip_prob

    def transform(self, results: dict) -> dict:
        image: Image.Image = results['img']
        box = RandomResizedCrop.get_params(image, self.scale, self.ratio)
        side = [self.size, self.size]
        image = F.resized_crop(image, *box, side, F.InterpolationMode.BICUBIC)
        if self.flip_prob and torch.rand(()) < self.flip_prob:
            image = F.hflip(image)
        results['img'] = image.convert('RGB')
        results['img_shape'] = (self.size, self.size)
        return results
