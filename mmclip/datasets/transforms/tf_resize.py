"""The image resizing of TensorFlow 1, which the official ViLD weights were trained under."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmclip.registry import TRANSFORMS


def _axis(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper source rows of each target row, and how much the upper one counts."""
    position = np.arange(new_size, dtype=np.float32) * np.float32(size / new_size)
    whole = np.floor(position)
    lower = whole.astype(np.int64)
    return lower, np.minimum(lower + 1, size - 1), position - whole


def tf_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resizing without half-pixel centers and without antialiasing.

    Target row i reads source row i * H / H', so the image moves by up to half a pixel against
    OpenCV's and PIL's. float32.

    Source: ``tf.image.resize_bilinear`` with ``align_corners=False`` (TensorFlow 1).

    Args:
        image: (H, W, C).
        size: New height and width.
    """
    image = image.astype(np.float32)
    top, bottom, y = _axis(image.shape[0], size[0])
    left, right, x = _axis(image.shape[1], size[1])
    x, y = x[None, :, None], y[:, None, None]
    upper = image[top][:, left] + (image[top][:, right] - image[top][:, left]) * x
    lower = image[bottom][:, left] + (image[bottom][:, right] - image[bottom][:, left]) * x
    return upper + (lower - upper) * y


@TRANSFORMS.register_module()
class TFResize(BaseTransform):
    """Resize an image to fit a size, aspect kept, as the official ViLD does in testing.

    Takes the place of ``mmdet.Resize`` with converted official weights. Sets ``img`` (float32),
    ``img_shape``, ``scale``, ``scale_factor`` (x, y) and ``keep_ratio``; boxes are not moved, so it
    is for testing.

    Args:
        scale: Width and height that the image must fit.
    """

    def __init__(self, *, scale: tuple[int, int]) -> None:
        self.scale = tuple(scale)

    def transform(self, results: dict) -> dict:
        """Needs ``img``."""
        height, width = results['img'].shape[:2]
        factor = min(self.scale[1] / height, self.scale[0] / width)
        size = round(height * factor), round(width * factor)
        results['img'] = tf_resize(results['img'], size)
        results['img_shape'] = size
        results['scale'] = size[::-1]
        results['scale_factor'] = size[1] / width, size[0] / height
        results['keep_ratio'] = True
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale})'
