"""Draws boxes with a word and a score on each, so that the words can be read."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

MAX_CHARACTERS = 60
MASK_OPACITY = 0.45
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans-Bold.ttf'


def word_color(label: int) -> tuple[int, int, int]:
    """A bright RGB color; neighboring labels get distant hues."""
    hue = (0.58 + label * 0.618033988749895) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.72, 0.98)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_word_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    words: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    *,
    masks: np.ndarray | None = None,
    font: str | Path = FONT,
) -> np.ndarray:
    """A copy of an RGB image with boxes, and a word on each where it hides least.

    Earlier boxes are the more important ones: they lie on top, and their words choose first.

    Args:
        image: uint8 RGB.
        boxes: xyxy in pixels.
        words: One line of text for each box; long ones are shortened.
        colors: RGB of each box.
        masks: Boolean masks, painted under the boxes.
        font: A TrueType font; another one may be needed for words outside Latin, Greek, Cyrillic.

    Shapes: image (H, W, 3), boxes (N, 4), masks (N, H, W); returns (H, W, 3).
    """
    height, width = image.shape[:2]
    if masks is not None and len(masks):
        image = _paint_masks(image, masks, colors)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    line = max(2, round(max(height, width) / 170))
    typeface = ImageFont.truetype(str(font), max(11, round(max(height, width) / 34)))
    boxes = np.clip(np.nan_to_num(boxes), 0, [width - 1, height - 1] * 2)
    for (x1, y1, x2, y2), color in reversed(list(zip(boxes.tolist(), colors, strict=True))):
        outer = (x1 - 1, y1 - 1, max(x2, x1) + 1, max(y2, y1) + 1)
        draw.rounded_rectangle(outer, radius=2 * line, outline=(20, 20, 20), width=line + 2)
        inner = (x1, y1, max(x2, x1), max(y2, y1))
        draw.rounded_rectangle(inner, radius=2 * line, outline=color, width=line)
    labels = [_Label(draw, word, typeface, width) for word in words]
    places = place_labels([label.size for label in labels], boxes, (width, height), line)
    for label, place, color in reversed(list(zip(labels, places, colors, strict=True))):
        label.draw(draw, place, color, radius=line + 1)
    return np.asarray(canvas)


def place_labels(
    sizes: Sequence[tuple[int, int]],
    boxes: np.ndarray,
    image: tuple[int, int],
    line: int = 2,
) -> list[tuple[int, int]]:
    """Top left corner of each label: at its box, inside the image, hiding little.

    Tried are above, below and just inside the box, each aligned left and right. What covers labels
    that are placed already costs most, then what covers other boxes, then the order of places.

    Args:
        sizes: Width and height of the labels.
        boxes: (N, 4) xyxy, the same order.
        image: Width and height.
    """
    placed = np.zeros((0, 4))
    corners = []
    for index, (w, h) in enumerate(sizes):
        x1, y1, x2, y2 = boxes[index]
        half = line / 2
        candidates = [
            (x, y)
            for y in (y1 - h + half, y2 - half, y1 + line, y2 - h - line)
            for x in (x1 - half, x2 - w + half)
        ]
        candidates = np.array(candidates).round()
        limit = np.maximum(np.array(image) - (w, h), 0)
        inside = np.clip(candidates, 0, limit)
        shift = np.abs(inside - candidates).sum(axis=1) / h
        rectangles = np.concatenate([inside, inside + (w, h)], axis=1)
        cost = 20 * _overlap(rectangles, placed).sum(axis=1) / (w * h)
        others = np.delete(boxes, index, axis=0)
        cost += 2 * _overlap(rectangles, others).sum(axis=1) / (w * h)
        cost += shift + 0.15 * np.arange(len(candidates))
        best = rectangles[cost.argmin()]
        placed = np.concatenate([placed, best[None]])
        corners.append((int(best[0]), int(best[1])))
    return corners


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas of intersection of (N, 4) and (M, 4) boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=-1)


class _Label:
    """A line of text on a colored ground, at most as wide as the image."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, word: str, font: ImageFont.FreeTypeFont, limit: int
    ) -> None:
        self.font = font
        self.pad = max(2, round(font.size / 5))
        self.text = shorten(' '.join(word.split()), MAX_CHARACTERS)
        while len(self.text) > 1 and draw.textlength(self.text, font) + 2 * self.pad > limit:
            self.text = shorten(self.text, len(self.text) - 1)
        ascent, descent = font.getmetrics()
        width = draw.textlength(self.text, font)
        self.size = (round(width) + 2 * self.pad, ascent + descent + self.pad // 2)

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        place: tuple[int, int],
        color: tuple[int, int, int],
        radius: int,
    ) -> None:
        x, y = place
        ground = (x, y, x + self.size[0] - 1, y + self.size[1] - 1)
        draw.rounded_rectangle(ground, radius=radius, fill=color)
        dark = np.dot(color, (0.299, 0.587, 0.114)) > 140
        draw.text(
            (x + self.pad, y), self.text, fill=(15, 15, 15) if dark else 'white', font=self.font
        )


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters; the middle is left out, so that a score at the end stays."""
    if len(text) <= limit:
        return text
    tail = min(limit // 3, 8)
    return f'{text[: limit - tail - 1].rstrip("…")}…{text[len(text) - tail :].lstrip("…")}'


def _paint_masks(
    image: np.ndarray, masks: np.ndarray, colors: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    painted = image.astype(np.float32)
    for mask, color in reversed(list(zip(masks.astype(bool), colors, strict=True))):
        painted[mask] = (1 - MASK_OPACITY) * painted[mask] + MASK_OPACITY * np.array(color)
    painted = painted.round().astype(np.uint8)
    for mask, color in zip(masks, colors, strict=True):
        outline, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        painted = cv2.drawContours(painted, outline, -1, color, 1)
    return painted
