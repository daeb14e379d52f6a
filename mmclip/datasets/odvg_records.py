"""Records of ODVG files: phrases of captions with their boxes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from torchvision.ops import nms

from mmclip.io.parsing import finite_numbers, whole_number

MIN_SIDE = 1.0  # pixels; mmdet drops smaller boxes too
NOT_FOUND = 'of phrases that are not in their caption'
OUTSIDE = 'smaller than a pixel or outside the image'
UNSURE = 'with too low a score'
DOUBLE = 'that overlap a better one'


class RegionRecord(msgspec.Struct):
    """A phrase of a caption and its boxes; see :func:`read_phrases`."""

    bbox: list
    phrase: str = ''
    tokens_positive: list[list] | None = None
    types: list[str] = []


class GroundingRecord(msgspec.Struct):
    """A caption, and what its words name."""

    caption: str
    regions: list[RegionRecord]


class InstanceRecord(msgspec.Struct):
    """A box and the number of its class."""

    bbox: list
    label: Any


class DetectionRecord(msgspec.Struct):
    """The boxes of an image."""

    instances: list[InstanceRecord] = []


class ODVGRecord(msgspec.Struct):
    """A line of an ODVG file: an image with one of the two."""

    filename: str
    height: Any
    width: Any
    grounding: GroundingRecord | msgspec.UnsetType = msgspec.UNSET
    detection: DetectionRecord | msgspec.UnsetType = msgspec.UNSET


@dataclass
class Phrases:
    """The phrases of a caption and their boxes.

    Attributes:
        spans: For each phrase its ranges of characters.
        types: For each phrase words that say of what kind it is.
        boxes: N boxes, xyxy pixels.
        labels: For each box the number of its phrase.
        scores: For each box how sure it is, 1 if nobody said.
        masks: For each box its polygons or run lengths, None without.
    """

    spans: list[list[list[int]]] = field(default_factory=list)
    types: list[list[str]] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    masks: list = field(default_factory=list)

    def keep(self, chosen: Sequence[int]) -> None:
        """Leave out all boxes but these."""
        for name in ('boxes', 'labels', 'scores', 'masks'):
            values = getattr(self, name)
            setattr(self, name, [values[i] for i in chosen])


def read_phrases(caption: str, regions: Sequence[dict], dropped: Counter) -> Phrases:
    """Phrases of an ODVG record's ``regions``; those with the same place in the caption are one.

    Args:
        caption: The text.
        regions: Each with ``bbox`` (one box or a list), ``tokens_positive`` (ranges of characters)
            or ``phrase`` (its first place in the caption counts), and perhaps ``score`` (one for
            all its boxes, or a list), ``segmentation`` (of its one box, or a list of those) and
            ``types``.
        dropped: Counts boxes of phrases that are not in the caption.

    Raises:
        ValueError: a region that is none; other numbers of scores or masks than of boxes.
    """
    if not isinstance(caption, str):
        raise ValueError(f'the caption is {caption!r:.60}, not a text')
    found = Phrases()
    number_of: dict[tuple, int] = {}
    for region in regions:
        boxes = region['bbox']
        one = bool(boxes) and not isinstance(boxes[0], list)
        boxes = [boxes] if one else boxes
        spans = region.get('tokens_positive')
        if not spans:
            start = caption.lower().find(region['phrase'].lower())
            spans = [[start, start + len(region['phrase'])]] if start >= 0 else []
        spans = [[whole_number(end, 'tokens_positive') for end in span] for span in spans]
        spans = [[a, min(b, len(caption))] for a, b in spans if 0 <= a < min(b, len(caption))]
        if not spans:
            dropped[NOT_FOUND] += len(boxes)
            continue
        key = tuple(map(tuple, spans))
        if key not in number_of:
            number_of[key] = len(found.spans)
            found.spans.append(spans)
            found.types.append(list(region.get('types', ())))
        scores = region.get('score', region.get('scores', 1.0))
        masks = region.get('segmentation')
        masks = [None] * len(boxes) if masks is None else [masks] if one else masks
        scores = scores if isinstance(scores, list) else [scores] * len(boxes)
        if not len(boxes) == len(scores) == len(masks):
            raise ValueError(
                f'{region.get("phrase")!r} has {len(boxes)} boxes, {len(scores)} scores and '
                f'{len(masks)} masks'
            )
        found.boxes += boxes
        found.labels += [number_of[key]] * len(boxes)
        found.scores += scores
        found.masks += masks
    return found


def clean_boxes(
    found: Phrases,
    size: tuple[int, int],
    dropped: Counter,
    *,
    min_score: float = 0.0,
    nms_iou: float | None = None,
) -> None:
    """Leave out bad, unsure and double boxes, and clip the others to the image.

    Args:
        found: Changed in place.
        size: Height and width.
        dropped: Counts them by reason.
        min_score: Boxes must exceed it (unless it is 0).
        nms_iou: Non-maximum suppression over all phrases; None for none.

    Raises:
        ValueError: a box that is not four numbers, a score or side of the image that is none.
    """
    for box in found.boxes:
        if len(box) != 4 or not all(isinstance(number, int | float) for number in box):
            raise ValueError(f'the box {box!r:.60} is not four numbers')
    finite_numbers([*size], 2, 'height and width')
    if not all(isinstance(score, int | float) for score in found.scores):
        raise ValueError(f'scores {found.scores!r:.60} are not numbers')
    boxes = np.array(found.boxes, dtype=np.float64).reshape(-1, 4)
    height, width = size
    clipped = np.stack(
        [boxes[:, 0::2].clip(0, width), boxes[:, 1::2].clip(0, height)], axis=-1
    ).reshape(-1, 4)
    # Written so that a NaN is dropped as well.
    sides = boxes[:, 2:] - boxes[:, :2]
    good = (
        np.isfinite(boxes).all(1)
        & (sides >= MIN_SIDE).all(1)
        & (clipped[:, 2:] > clipped[:, :2]).all(1)
    )
    sure = (np.array(found.scores) > min_score) | (min_score == 0) if len(boxes) else good
    dropped[OUTSIDE] += int((~good).sum())
    dropped[UNSURE] += int((good & ~sure).sum())
    chosen = np.flatnonzero(good & sure)
    if nms_iou is not None and len(chosen):
        kept = nms(
            torch.from_numpy(clipped[chosen]),
            torch.tensor(found.scores, dtype=torch.float64)[chosen],
            nms_iou,
        )
        dropped[DOUBLE] += len(chosen) - len(kept)
        chosen = np.sort(chosen[kept.numpy()])
    found.boxes = clipped.tolist()
    found.keep(chosen.tolist())


def merge_same_boxes(found: Phrases) -> None:
    """One box for several phrases becomes one box for a phrase with the spans of all of them.

    A location of the image can learn one box: of two equal ones the second would teach it that the
    first one's words are wrong. The phrases themselves stay; the joint ones come behind them.

    Args:
        found: Changed in place.
    """
    labels_of: dict[tuple, list[int]] = {}
    for index, box in enumerate(found.boxes):
        labels_of.setdefault(tuple(box), []).append(index)
    number_of: dict[tuple, int] = {}
    for same in labels_of.values():
        labels = tuple(sorted({found.labels[i] for i in same}))
        if len(labels) > 1:
            if labels not in number_of:
                number_of[labels] = len(found.spans)
                found.spans.append(sorted(piece for i in labels for piece in found.spans[i]))
                found.types.append(sorted({kind for i in labels for kind in found.types[i]}))
            found.labels[same[0]] = number_of[labels]
    found.keep([same[0] for same in labels_of.values()])


def instances_of(found: Phrases) -> list[dict]:
    """mmdet's records of boxes."""
    return [
        dict(bbox=box, bbox_label=label, ignore_flag=0) | (dict(mask=mask) if mask else {})
        for box, label, mask in zip(found.boxes, found.labels, found.masks, strict=True)
    ]
