"""Several images as one."""

from collections.abc import Sequence

import cv2
import numpy as np

GAP = 12  # pixels


def montage(images: Sequence[np.ndarray], *, columns: int = 3) -> np.ndarray:
    """Images side by side on white, row by row, each fitted into the cell of the largest.

    Args:
        images: RGB or BGR arrays (H, W, 3), uint8.
        columns: Images per row.

    Raises:
        ValueError: If there is no image or no column.
    """
    if not len(images):
        raise ValueError('images is empty: a montage needs at least one image')
    if columns < 1:
        raise ValueError(f'columns={columns} must be at least 1')
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    canvas = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        factor = min(height / image.shape[0], width / image.shape[1])
        h, w = (max(1, round(factor * side)) for side in image.shape[:2])
        top = GAP + index // columns * (height + GAP) + (height - h) // 2
        left = GAP + index % columns * (width + GAP) + (width - w) // 2
        canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h))
    return canvas
