"""Paints a map of labels over an image, with the words in a legend below."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from PIL import Image, ImageDraw, ImageFont

from mmclip.io.atomic import write_image
from mmclip.registry import VISUALIZERS
from mmclip.visualization.word_boxes import FONT, MAX_CHARACTERS, word_color

OPACITY = 0.5
BACKGROUND_WORDS = ('background', 'other', 'others')  # left unpainted
MAX_WORDS = 24  # in the legend


def words_in(labels: np.ndarray, names: Sequence[str]) -> list[tuple[int, float]]:
    """(label, share of the pixels) of the labels that a map holds, most frequent first."""
    counts = np.bincount(labels[labels < len(names)].ravel(), minlength=len(names))
    order = np.argsort(-counts, kind='stable')
    return [(int(i), float(counts[i] / max(labels.size, 1))) for i in order if counts[i]]


def paint(
    image: np.ndarray, labels: np.ndarray, names: Sequence[str], font: str | Path = FONT
) -> np.ndarray:
    """A copy of an RGB image with its labels painted over and a legend below.

    Args:
        image: uint8 RGB.
        labels: Index of a name for each pixel; others are left unpainted.
        names: K words.
        font: A TrueType font.

    Shapes:
        image (H, W, 3), labels (H, W) -> (H + legend, W, 3).
    """
    painted = image.astype(np.float32)
    shown = words_in(labels, names)
    for label, _ in shown:
        if names[label] not in BACKGROUND_WORDS:
            area = labels == label
            painted[area] += OPACITY * (np.array(word_color(label)) - painted[area])
            edge = area & (cv2.erode(area.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
            painted[edge] = word_color(label)
    legend = _legend([(names[i], word_color(i), share) for i, share in shown], image, font)
    return np.concatenate([painted.round().clip(0, 255).astype(np.uint8), legend])


def _legend(
    entries: list[tuple[str, tuple[int, int, int], float]], image: np.ndarray, font: str | Path
) -> np.ndarray:
    height, width = image.shape[:2]
    size = max(11, round(max(height, width) / 34))
    typeface = ImageFont.truetype(str(font), size)
    draw = ImageDraw.Draw(Image.new('RGB', (1, 1)))
    lines: list[list[tuple[str, tuple, int]]] = [[]]
    left = size // 2
    for word, color, share in entries[:MAX_WORDS]:
        if word in BACKGROUND_WORDS:
            color = (128, 128, 128)
        text = f'{word[:MAX_CHARACTERS]} {100 * share:.0f} %'
        needed = round(draw.textlength(text, font=typeface)) + 2 * size
        if lines[-1] and left + needed > width:
            lines.append([])
            left = size // 2
        lines[-1].append((text, color, left))
        left += needed
    pitch = round(1.6 * size)
    canvas = Image.new('RGB', (width, pitch * len(lines) + size // 2), (24, 24, 24))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        top = size // 4 + row * pitch
        for text, color, left in line:
            draw.rectangle((left, top + size // 4, left + size, top + size // 4 + size), color)
            draw.text((left + 1.3 * size, top), text, fill=(240, 240, 240), font=typeface)
    return np.asarray(canvas)


@VISUALIZERS.register_module()
class WordMaskVisualizer(Visualizer):
    """Draws what :class:`mmclip.OpenVocabInferencer` found in an image pixel by pixel.

    An image whose longer side is below ``min_size`` is enlarged by a whole factor first.

    Args:
        min_size: Pixels; 0 never enlarges.
        font: Path of a TrueType font for words that the default one (DejaVu Sans) cannot write.
        kwargs: MMEngine's.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args,
        min_size: int = 512,
        font: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self.min_size = min_size
        self.font = font or FONT

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: BaseDataElement,
        *,
        out_file: str | None = None,
        **_: object,
    ) -> None:
        """Paint ``pred_sem_seg`` with the words of ``label_names``; RGB in, a file out."""
        labels = data_sample.pred_sem_seg.data[0].cpu().numpy()
        factor = max(1, round(self.min_size / max(image.shape[:2])))
        if factor > 1:
            size = (factor * image.shape[1], factor * image.shape[0])
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
            labels = labels.repeat(factor, axis=0).repeat(factor, axis=1)
        drawn = paint(image, labels, data_sample.label_names, self.font)
        self.set_image(drawn)
        if out_file is not None:
            write_image(out_file, drawn[:, :, ::-1])
