"""Several pictures as one."""

from collections.abc import Sequence

import cv2
import numpy as np

GAP = 12  # pixels


def montage(pictures: Sequence[np.ndarray], *, columns: int = 3) -> np.ndarray:
    """Pictures side by side on white, row by row, each fitted into the cell of the largest.

    Args:
        pictures: RGB or BGR arrays (H, W, 3), uint8.
        columns: Pictures per row.

    Raises:
        ValueError: If there is no picture or no column.
    """
    if not len(pictures):
        raise ValueError('pictures is empty: a montage needs at least one picture')
    if columns < 1:
        raise ValueError(f'columns={columns} must be at least 1')
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    canvas = np.full(shape, 255, np.uint8)
    for index, picture in enumerate(pictures):
        factor = min(height / picture.shape[0], width / picture.shape[1])
        h, w = (max(1, round(factor * side)) for side in picture.shape[:2])
        top = GAP + index // columns * (height + GAP) + (height - h) // 2
        left = GAP + index % columns * (width + GAP) + (width - w) // 2
        canvas[top : top + h, left : left + w] = cv2.resize(picture, (w, h))
    return canvas
