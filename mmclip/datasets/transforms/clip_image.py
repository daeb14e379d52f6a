"""CLIP's image transform, exactly: Pillow resizes, in the image's own mode."""

from collections.abc import Sequence

import mmengine.fileio as fileio
import numpy as np
import torch
import torchvision.transforms.functional as F
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from PIL import Image

from mmclip.io.image import open_image
from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPILImage(BaseTransform):
    """Reads ``img_path`` as a Pillow image in its own mode (palette, alpha and gray are kept).

    The palette must survive until after the resize (see :class:`CLIPResizeCrop`), so this is not
    mmcv's ``LoadImageFromFile``; see :func:`mmclip.io.image.open_image` for what it takes.

    Args:
        ignore_orientation: Leave images lying as the official code does, which knows no EXIF
            orientation.
        backend_args: MMEngine's storage backend, e.g. ``dict(backend='petrel')``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, cut off, or too large.
    """

    def __init__(
        self, *, ignore_orientation: bool = False, backend_args: dict | None = None
    ) -> None:
        self.ignore_orientation = ignore_orientation
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        local = self.backend_args is None and '://' not in str(path)
        source = path if local else fileio.get(path, backend_args=self.backend_args)
        image = open_image(source, name=f'img_path: {path}', orient=not self.ignore_orientation)
        results['img'] = image
        results['ori_shape'] = results['img_shape'] = (image.height, image.width)
        return results


def resize_crop(image: Image.Image, size: int, squash: bool = False) -> np.ndarray:
    """Bicubic resize of the short side, center crop, conversion to RGB: (size, size, 3) uint8.

    Source: the transform of the official ``clip.load``. The conversion comes last: palette images
    are resized with the nearest neighbor, and alpha is dropped, not composited.
    """
    short = [size, size] if squash else size
    image = F.resize(image, short, F.InterpolationMode.BICUBIC)
    image = F.center_crop(image, [size, size])
    return np.asarray(image.convert('RGB'))


@TRANSFORMS.register_module()
class CLIPResizeCrop(BaseTransform):
    """The official image transform up to the normalization; sets ``img`` to RGB uint8 (S, S, 3).

    OpenCV's bicubic kernel is another one and does not antialias: with it logits drift.

    Args:
        size: Side S in pixels that the image tower was trained at.
        resize_mode: ``'shortest'``: the short side becomes S and the long one is cropped (OpenAI
            and most others); ``'squash'``: both sides become S (SigLIP).

    Raises:
        ValueError: ``img`` is neither a Pillow image nor an RGB uint8 array.
    """

    def __init__(self, *, size: int, resize_mode: str = 'shortest') -> None:
        if size < 1:
            raise ValueError(f'size: {size} is not a positive number of pixels')
        if resize_mode not in ('shortest', 'squash'):
            raise ValueError(f"resize_mode: {resize_mode!r} is neither 'shortest' nor 'squash'")
        self.size = size
        self.resize_mode = resize_mode

    def transform(self, results: dict) -> dict:
        image = results['img']
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8:
                raise ValueError(f'img: CLIPResizeCrop needs uint8, got {image.dtype}')
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise ValueError(
                f'img: CLIPResizeCrop needs a Pillow image (mmclip.LoadPILImage) or an RGB array, '
                f'got {type(image).__name__}'
            )
        results['img'] = resize_crop(image, self.size, self.resize_mode == 'squash')
        results['img_shape'] = (self.size, self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, resize_mode={self.resize_mode!r})'


@TRANSFORMS.register_module()
class PackCLIPInputs(BaseTransform):
    """Packs ``inputs`` (3, H, W), RGB, and a data sample with ``gt_label`` if it is known.

    Args:
        meta_keys: Keys of the results that go into the sample's meta information.
    """

    def __init__(
        self,
        *,
        meta_keys: Sequence[str] = ('img_path', 'ori_shape', 'img_shape', 'split', 'img_id'),
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        image = np.ascontiguousarray(np.asarray(results['img']).transpose(2, 0, 1))
        sample = BaseDataElement(metainfo={k: results[k] for k in self.meta_keys if k in results})
        if results.get('gt_label') is not None:
            sample.gt_label = torch.tensor(int(results['gt_label']))
        return dict(inputs=torch.from_numpy(image), data_samples=sample)
