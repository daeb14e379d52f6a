"""Masks of class indices, and the resizing of LSeg's official loaders."""

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from PIL import Image

from mmclip.io.image import open_unchanged, standard_image
from mmclip.registry import TRANSFORMS


def read_mask(path: str, *, brightness: bool = False) -> np.ndarray:
    """(H, W) indices of a gray (8 or 16 bits) or palette image.

    Args:
        path: The image.
        brightness: Its 8-bit gray values instead, of an image of any mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the image is damaged, or has color channels.
    """
    name = f'seg_map_path: {path}'
    try:
        image = open_unchanged(path, name=name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'seg_map_path: there is no mask {path}; docs/en/datasets.md tells the layout'
        ) from error
    if brightness:
        image = standard_image(image, name=name, orient=False).convert('L')
    mask = np.asarray(image)
    if mask.ndim != 2 or image.mode == 'F':
        raise ValueError(
            f'{name} is an image of mode {image.mode}; masks hold one index per pixel '
            '(modes L, P, I;16)'
        )
    return mask


@TRANSFORMS.register_module()
class LoadSegMap(BaseTransform):
    """Reads a mask of class indices, of 8 or 16 bits, and checks its values.

    It reads what a dataset of mmclip tells about its masks: how many classes there are, whether 0
    means unlabeled and is taken off the other values, and which value is ignored. For the folds
    (``class_value``) the mask says where one class is (1) and is not (0); the values in ``void``
    are ignored, or count as background if ``void_as_background``. An image that comes from no data
    set, as in the hosts' inference, has no mask and passes unchanged.

    Raises:
        ValueError: a value that is neither a class nor ignored; a mask of another size than the
            image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'seg_map_path' not in results and 'ignore_index' not in results:
            return results
        # FSS-1000: black and white images of one class, maybe saved in color.
        path, brightness = results['seg_map_path'], results.get('threshold') is not None
        mask = read_mask(path, brightness=brightness).astype(np.int64)
        ignore = results['ignore_index']
        if 'class_value' in results:
            mask = self._binary(mask, results, ignore)
        else:
            mask = self._indices(mask, results, ignore)
        # Masks may be read behind a resize of the image: they stay as they are, for testing.
        size = results.get('ori_shape', results.get('img_shape'))
        if size is not None and mask.shape != tuple(size[:2]):
            raise ValueError(
                f'seg_map_path: {results["seg_map_path"]} is {mask.shape[0]} x {mask.shape[1]} '
                f'pixels, its image {size[0]} x {size[1]}'
            )
        # The host's resizing and padding know 8 and 16 bits.
        results['gt_seg_map'] = mask.astype(np.uint8 if ignore <= 255 else np.uint16)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def _indices(self, mask: np.ndarray, results: dict[str, Any], ignore: int) -> np.ndarray:
        count = results['num_classes']
        ignored = mask == ignore
        if results.get('reduce_zero_label'):
            mask = mask - 1
            ignored |= mask < 0
        wrong = ~ignored & (mask >= count)
        if wrong.any():
            offset = bool(results.get('reduce_zero_label'))
            values = sorted({int(v) + offset for v in np.unique(mask[wrong])})[:5]
            raise ValueError(
                f'seg_map_path: {results["seg_map_path"]} holds the values {values}; allowed are '
                f'{int(offset)} to {count - 1 + offset} for {count} classes, and {ignore} for what '
                'is ignored'
            )
        if (table := results.pop('label_table', None)) is not None:
            mask = table[np.where(ignored, 0, mask)]
        return np.where(ignored, ignore, mask)

    def _binary(self, mask: np.ndarray, results: dict[str, Any], ignore: int) -> np.ndarray:
        threshold = results.get('threshold')
        if threshold is not None:
            return (mask >= threshold).astype(np.int64)
        binary = (mask == results['class_value']).astype(np.int64)
        if not results.get('void_as_background'):
            binary[np.isin(mask, results['void'])] = ignore
        return binary


def _resize(results: dict[str, Any], width: int, height: int) -> None:
    """Image bilinear with antialiasing, masks by their nearest pixel, as PIL does."""
    image = Image.fromarray(results['img'])
    results['img'] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    for key in results.get('seg_fields', []):
        mask = Image.fromarray(results[key].astype(np.int32))
        resized = mask.resize((width, height), Image.Resampling.NEAREST)
        results[key] = np.asarray(resized).astype(results[key].dtype)
    results['img_shape'] = (height, width)


def _crop(results: dict[str, Any], left: int, top: int, size: int) -> None:
    window = np.s_[top : top + size, left : left + size]
    for key in ('img', *results.get('seg_fields', [])):
        results[key] = np.ascontiguousarray(results[key][window])
    results['img_shape'] = results['img'].shape[:2]


@TRANSFORMS.register_module()
class RandomLongSideCrop(BaseTransform):
    """Scales the LONG side at random, pads right and bottom with black, crops at random.

    The long side is a uniform integer in [base_size / 2, 2 base_size]; a short side below
    ``crop_size`` is padded (masks with ``ignore_index``).

    Source: PyTorch-Encoding's joint augmentation, which LSeg trains with on ADE20K; with
    ``mmseg.RandomFlip`` before it. Images are resized by PIL.

    Args:
        base_size: Pixels.
        crop_size: Pixels of both sides of the result.
    """

    def __init__(self, *, base_size: int = 520, crop_size: int = 480) -> None:
        self.base_size = base_size
        self.crop_size = crop_size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        low, high = int(self.base_size * 0.5), int(self.base_size * 2.0)
        self.scale_and_pad(results, int(np.random.randint(low, high + 1)))
        height, width = results['img'].shape[:2]
        left = int(np.random.randint(width - self.crop_size + 1))
        top = int(np.random.randint(height - self.crop_size + 1))
        _crop(results, left, top, self.crop_size)
        return results

    def scale_and_pad(self, results: dict[str, Any], long_side: int) -> None:
        """The part before the crop, for a given long side."""
        height, width = results['img'].shape[:2]
        if height > width:
            size = (max(1, int(width * long_side / height + 0.5)), long_side)
        else:
            size = (long_side, max(1, int(height * long_side / width + 0.5)))
        _resize(results, *size)
        right = max(self.crop_size - size[0], 0)
        bottom = max(self.crop_size - size[1], 0)
        for key in ('img', *results.get('seg_fields', [])):
            fill = 0 if key == 'img' else results.get('ignore_index', 255)
            results[key] = cv2.copyMakeBorder(
                results[key], 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(fill,) * 4
            )
        results['img_shape'] = results['img'].shape[:2]


@TRANSFORMS.register_module()
class ShortSideCenterCrop(BaseTransform):
    """Scales the SHORT side to ``crop_size`` and crops the center.

    Source: PyTorch-Encoding's transform for validation while training.

    Args:
        crop_size: Pixels of both sides of the result.
    """

    def __init__(self, *, crop_size: int = 480) -> None:
        self.crop_size = crop_size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        if width > height:
            size = (int(width * self.crop_size / height), self.crop_size)
        else:
            size = (self.crop_size, int(height * self.crop_size / width))
        _resize(results, *size)
        left = int(round((size[0] - self.crop_size) / 2.0))
        top = int(round((size[1] - self.crop_size) / 2.0))
        _crop(results, left, top, self.crop_size)
        return results


def nearest_pixels(length: int, size: int) -> np.ndarray:
    """(size,) which of ``length`` pixels torch's nearest-pixel resize takes.

    It divides in float32: some are the one before what integers give (500 -> 480 pixels: six).
    """
    places = torch.arange(length, dtype=torch.float32)[None, None]
    return F.interpolate(places, size, mode='nearest')[0, 0].long().numpy()


@TRANSFORMS.register_module()
class SquareResize(BaseTransform):
    """Brings image and masks to a square, whatever their aspect.

    Source: the folds' loader (HSNet's): torchvision's resize of the image (PIL, antialiased) and
    torch's nearest pixel for the mask.

    Args:
        size: Pixels of both sides.
    """

    def __init__(self, *, size: int = 480) -> None:
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        masks = {key: results[key] for key in results.get('seg_fields', [])}
        image = Image.fromarray(results['img'])
        results['img'] = np.asarray(image.resize((self.size, self.size), Image.Resampling.BILINEAR))
        rows, columns = nearest_pixels(height, self.size), nearest_pixels(width, self.size)
        for key, mask in masks.items():
            results[key] = mask[rows[:, None], columns]
        results['img_shape'] = (self.size, self.size)
        return results
