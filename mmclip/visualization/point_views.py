"""The views of a point cloud side by side, with what each of them says."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmclip.visualization.montage import montage
from mmclip.visualization.word_boxes import FONT, MAX_CHARACTERS, shorten

TILE = 224  # pixels
DARKEST = 0.4  # of the farthest point, on black


def near_is_bright(maps: np.ndarray) -> np.ndarray:
    """Depths as gray values: 255 for the nearest point of a map, 102 for the farthest, else 0.

    Shapes:
        (V, H, W) depths, 0 where there is no point -> (V, H, W) uint8.
    """
    filled = maps > 0
    low = np.where(filled, maps, np.inf).min((1, 2), keepdims=True)
    high = np.where(filled, maps, -np.inf).max((1, 2), keepdims=True)
    spread = np.where(high > low, high - low, 1)  # an empty map is -inf > inf: False
    gray = 1 - (1 - DARKEST) * (np.where(filled, maps, 0) - np.where(filled, low, 0)) / spread
    return np.where(filled, np.round(255 * gray), 0).astype(np.uint8)


def _text(lines: Sequence[str], width: int, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Lines of text on a dark strip: (height, width, 3)."""
    pitch = round(1.4 * font.size)
    image = Image.new('RGB', (width, pitch * len(lines) + 4), (24, 24, 24))
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((4, row * pitch), line, fill=(240, 240, 240), font=font)
    return np.asarray(image)


def draw_point_views(
    maps: np.ndarray,
    view_scores: np.ndarray,
    names: Sequence[str],
    scores: Sequence[float],
    *,
    class_names: Sequence[str],
    lines: int = 3,
    columns: int = 3,
    font: str | Path = FONT,
) -> np.ndarray:
    """An image of the views of a cloud with their best classes, below the result of all.

    Args:
        maps: Gray values, uint8.
        view_scores: Of each class in each view, written in per cent.
        names: The best classes of all views together.
        scores: Theirs, 0 to 1.
        class_names: All K.
        lines: Classes that are written below a view.
        columns: Views per row.
        font: A TrueType font.

    Shapes:
        maps (V, H, W), view_scores (V, K) -> (height, width, 3) RGB.
    """
    typeface = ImageFont.truetype(str(font), 14)
    best = np.argsort(-view_scores, axis=1, kind='stable')[:, :lines]
    tiles = []
    for view, (gray, order) in enumerate(zip(maps, best, strict=True)):
        tile = cv2.resize(gray, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
        said = [_line(class_names[k], view_scores[view, k]) for k in order]
        text = _text([f'view {view + 1}', *said], TILE, typeface)
        tiles.append(np.concatenate([tile[..., None].repeat(3, 2), text]))
    canvas = montage(tiles, columns=columns)
    said = [_line(name, score) for name, score in zip(names, scores, strict=True)]
    return np.concatenate([_text(['all views', *said], canvas.shape[1], typeface), canvas])


def _line(name: str, score: float) -> str:
    return f'{shorten(name, min(MAX_CHARACTERS, 18))} {100 * score:.0f} %'
