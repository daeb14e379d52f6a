"""What the teacher sees of a region: windows of the image at 1x and 1.5x, and their embedding."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

_MARGIN = 0.001
_CHOICES = {
    'resize': ('short_side', 'warp'),
    'border': ('pad', 'cut'),
    'average': ('norm_sum_norm', 'raw_sum'),
    'interpolation': ('bicubic', 'bilinear'),
}


@dataclass(frozen=True)
class CropRule:
    """How regions become teacher embeddings. Its fields are part of a store's fingerprint.

    Source: ViLD, section 3.2 (1x and 1.5x crops, embeddings added and normalized again); rounding
    and borders as in DetPro, since the official code does not hold this part.

    Args:
        size: Side of the teacher's input in pixels.
        mean: Of the teacher's input, RGB in 0-1.
        std: Of the teacher's input, RGB in 0-1.
        scales: Factors of the windows' sides.
        resize: ``'short_side'`` is CLIP's own (shorter side to ``size``, center crop: long regions
            lose their ends), ``'warp'`` squeezes the window into the square.
        border: What a window that reaches out of the image shows there: ``'pad'`` black, as
            Pillow does and so DetPro; ``'cut'`` nothing, the window ends at the border.
        average: ``'norm_sum_norm'`` normalizes each window's embedding before adding (the paper's
            wording), ``'raw_sum'`` adds raw outputs (DetPro).
        interpolation: ``'bicubic'`` or ``'bilinear'``, the teacher's.

    Raises:
        ValueError: an unknown word; no scale.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    scales: tuple[float, ...] = (1.0, 1.5)
    resize: str = 'short_side'
    border: str = 'pad'
    average: str = 'norm_sum_norm'
    interpolation: str = 'bicubic'

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f'{name}: expected one of {allowed}, got {getattr(self, name)!r}')
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f'scales: expected positive factors, got {self.scales!r}')

    def to_dict(self) -> dict:
        """Plain values, for a fingerprint."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def scale_boxes(boxes: torch.Tensor, scale: float) -> torch.Tensor:
    """Boxes (N, 4) with the same center and sides times ``scale``; may reach out of the image.

    x1' = (1 + scale) / 2 * x1 + (1 - scale) / 2 * x2, for 1.5: 1.25 x1 - 0.25 x2.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    grow, shrink = (1 + scale) / 2, (1 - scale) / 2
    return torch.cat([grow * low + shrink * high, shrink * low + grow * high], dim=1)


def integer_boxes(boxes: torch.Tensor) -> torch.Tensor:
    """Windows (N, 4) int64 of boxes, right and bottom excluded; may reach out of the image.

    floor(v - 0.001) on the left and top, ceil(v + 0.001) on the right and bottom: a box with
    integer corners grows by a pixel on every side.
    """
    low, high = torch.floor(boxes[:, :2] - _MARGIN), torch.ceil(boxes[:, 2:] + _MARGIN)
    return torch.cat([low, high], 1).long()


def cut_at_border(windows: torch.Tensor, image_size: tuple[int, int]) -> torch.Tensor:
    """Windows (N, 4) clamped to [0, W] x [0, H]."""
    return windows.clamp(min=0).minimum(windows.new_tensor(image_size).repeat(2))


def check_boxes(boxes: torch.Tensor, image_size: tuple[int, int]) -> None:
    """Raise if a box cannot be of this image.

    Args:
        boxes: (N, 4) xyxy.
        image_size: Width and height in pixels.

    Raises:
        ValueError: a box is not finite, or touches no pixel of the image.
    """
    windows = cut_at_border(integer_boxes(boxes.nan_to_num(-1e6)), image_size)
    empty = (windows[:, 2:] <= windows[:, :2]).any(dim=1) | ~torch.isfinite(boxes).all(dim=1)
    bad = empty.nonzero()[:, 0]
    if len(bad):
        box = [round(v, 1) for v in boxes[bad[0]].tolist()]
        raise ValueError(
            f'boxes: {box} (number {int(bad[0])}) does not lie in an image of '
            f'{image_size[0]} x {image_size[1]} pixels; are these the boxes of other images?'
        )


def _resize(window: Image.Image, rule: CropRule) -> Image.Image:
    """CLIP's Resize + CenterCrop, or a squeeze, with Pillow's antialiased filters."""
    size, filter_ = rule.size, Image.Resampling[rule.interpolation.upper()]
    if rule.resize == 'warp':
        return window.resize((size, size), filter_)
    width, height = window.size
    short = min(width, height)
    # torchvision's rounding: the long side is cut to an integer, the crop's offset is rounded.
    wide, high = int(size * width / short), int(size * height / short)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    whole = window.resize((wide, high), filter_)
    return whole.crop((left, top, left + size, top + size))


def crop_windows(image: np.ndarray, windows: torch.Tensor, rule: CropRule) -> torch.Tensor:
    """The teacher's input pixels of integer windows, uint8.

    Pillow does the resampling, as in CLIP's own transform: it rounds to 8 bits after each pass, so
    float resampling would differ by a gray level here and there.

    Args:
        image: (H, W, 3) uint8, RGB.
        windows: (N, 4) from :func:`integer_boxes`; what lies outside of the image is black.

    Shapes:
        returns: (N, 3, size, size) uint8.
    """
    source = Image.fromarray(np.ascontiguousarray(image))
    out = np.empty((len(windows), rule.size, rule.size, 3), dtype=np.uint8)
    for row, window in enumerate(windows.tolist()):
        out[row] = _resize(source.crop(window), rule)
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def region_crops(image: np.ndarray, boxes: torch.Tensor, rule: CropRule) -> torch.Tensor:
    """Windows of N boxes at every scale.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: (N, 4) xyxy in the image's pixels.

    Shapes:
        returns: (N, S, 3, size, size) uint8, S scales.

    Raises:
        ValueError: a box outside the image.
    """
    image_size = (image.shape[1], image.shape[0])
    check_boxes(boxes, image_size)
    # The widened box is made of the box as given, not of the one cut at the border.
    windows = torch.stack(
        [integer_boxes(scale_boxes(boxes, scale)) for scale in rule.scales], dim=1
    ).flatten(0, 1)
    if rule.border == 'cut':
        windows = cut_at_border(windows, image_size)
    crops = crop_windows(image, windows, rule)
    return crops.unflatten(0, (len(boxes), len(rule.scales)))


def normalize_crops(crops: torch.Tensor, rule: CropRule) -> torch.Tensor:
    """(..., 3, size, size) uint8 -> float32 in the teacher's units: (x / 255 - mean) / std."""
    mean, std = (
        crops.new_tensor(v, dtype=torch.float32)[:, None, None] for v in (rule.mean, rule.std)
    )
    return (crops.float() / 255 - mean) / std


def average_embeddings(embeddings: torch.Tensor, average: str = 'norm_sum_norm') -> torch.Tensor:
    """One unit vector per region from the raw embeddings of its windows.

    Shapes:
        embeddings: (N, S, D), raw.
        returns: (N, D), L2-normalized.
    """
    if average == 'norm_sum_norm':
        embeddings = F.normalize(embeddings, dim=-1)
    return F.normalize(embeddings.sum(dim=1), dim=-1)


@torch.no_grad()
def encode_crops(
    clip: torch.nn.Module, crops: torch.Tensor, rule: CropRule, *, batch_size: int = 256
) -> torch.Tensor:
    """Teacher embeddings of crops, on the device of the teacher.

    Args:
        clip: open_clip model.
        crops: (N, S, 3, size, size) uint8 from :func:`region_crops`.
        batch_size: Crops that go through the image tower at once.

    Shapes:
        returns: (N, D) float32, L2-normalized.
    """
    parameter = next(clip.parameters())
    parts = []
    for chunk in crops.flatten(0, 1).split(batch_size):
        pixels = normalize_crops(chunk.to(parameter.device), rule).to(parameter.dtype)
        parts.append(clip.encode_image(pixels).float())
    raw = torch.cat(parts).unflatten(0, crops.shape[:2])
    return average_embeddings(raw, rule.average)
