"""timm's augmentation of ImageNet training, for pipelines that normalize later."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import functional as F

from mmclip.registry import TRANSFORMS


def to_rgb(image: Image.Image) -> Image.Image:
    """A Pillow image of any mode as RGB; 16-bit gray is brought to 8 bits, not cut off at 255."""
    if image.mode.startswith('I'):
        gray = np.asarray(image).astype(np.float64) / (256 if image.mode != 'I' else 257)
        return Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert('RGB')
    return image.convert('RGB')


@TRANSFORMS.register_module()
class TimmAugment(BaseTransform):
    """Random crop, flip, RandAugment, random erasing; sets ``img`` to RGB float32 (S, S, 3).

    Values are 0 to 255 (erased pixels are noise of the data's own mean and deviation, so some are
    beyond), for the data preprocessor to normalize with the same mean and std.

    Source: ``timm.data.create_transform``, as DeiT and GroupViT use it; with RandAugment there is
    no color jitter.

    Args:
        size: S in pixels.
        scale: Range of the share of the image's area.
        auto_augment: timm's name of a policy, or None.
        re_prob: Probability of random erasing.
        mean, std: The data preprocessor's.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        scale: tuple[float, float] = (0.08, 1.0),
        auto_augment: str | None = 'rand-m9-mstd0.5-inc1',
        re_prob: float = 0.25,
        mean: tuple[float, ...] = (123.675, 116.28, 103.53),
        std: tuple[float, ...] = (58.395, 57.12, 57.375),
    ) -> None:
        self.size = size
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
        self.augment = create_transform(
            size,
            is_training=True,
            scale=tuple(scale),
            interpolation='bilinear',
            auto_augment=auto_augment,
            color_jitter=None,
            re_prob=re_prob,
            re_mode='pixel',
            re_count=1,
            mean=[v / 255 for v in mean],
            std=[v / 255 for v in std],
        )

    def transform(self, results: dict) -> dict:
        normalized = self.augment(to_rgb(results['img']))
        results['img'] = (normalized * self.std + self.mean).permute(1, 2, 0).numpy()
        results['img_shape'] = (self.size, self.size)
        return results


@TRANSFORMS.register_module()
class TimmResizeCrop(BaseTransform):
    """Short side to ``resize`` bilinearly, center crop; sets ``img`` to RGB uint8 (S, S, 3).

    Source: timm's evaluation on ImageNet.

    Args:
        resize: Short side in pixels.
        size: S in pixels.
    """

    def __init__(self, *, resize: int = 256, size: int = 224) -> None:
        self.resize, self.size = resize, size

    def transform(self, results: dict) -> dict:
        image = F.resize(to_rgb(results['img']), self.resize, F.InterpolationMode.BILINEAR)
        results['img'] = np.asarray(F.center_crop(image, [self.size, self.size]))
        results['img_shape'] = (self.size, self.size)
        return results


@TRANSFORMS.register_module()
class ToBGR(BaseTransform):
    """RGB image or array -> BGR array, what the hosts' loaders give and their models expect."""

    def transform(self, results: dict) -> dict:
        results['img'] = np.ascontiguousarray(np.asarray(results['img'])[..., ::-1])
        return results
