"""From class scores to detections: the best candidates first, exact, in bounded memory.

With a score threshold of 0 every region is a candidate of every class: 1000 regions x 1203 classes,
or x 100 000. Non-maximum suppression goes from the highest score down, and what is lower never
removes what is higher. So the first 300 survivors among the best M candidates are the first 300
among all, as soon as there are 300; else M grows.
"""

from collections.abc import Callable, Iterator

import torch
from mmcv.ops import batched_nms
from torchvision.ops import nms

# (first class, scores (N, classes of the chunk)), as often as it is asked for
Chunks = Callable[[], Iterator[tuple[int, torch.Tensor]]]


def best_candidates(
    chunks: Chunks, count: int, score_thr: float = 0.0, per_class: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ``count`` highest scores over all regions and classes.

    Args:
        chunks: Scores of N regions, some classes at a time.
        count: How many, M.
        score_thr: Only scores above it.
        per_class: At most so many regions of each class (None: all).

    Returns:
        Scores, regions and classes, each (<= M,), from the highest score down.
    """
    parts, kept = [], 0
    for start, scores in chunks():
        if per_class is not None and per_class < len(scores):
            lowest = scores.topk(per_class, dim=0).values[-1]
            scores = scores.where(scores >= lowest, -1.0)
        flat = scores.flatten()
        above = flat > score_thr
        if int(above.sum()) > count:
            best, place = flat.topk(count)
        else:
            place = above.nonzero()[:, 0]
            best = flat[place]
        width = scores.shape[1]
        parts.append((best, place // width, place % width + start))
        kept += len(best)
        if kept > 4 * count:
            parts = [_merge(parts, count)]
            kept = len(parts[0][0])
    return _merge(parts, count)


def _merge(parts: list[tuple[torch.Tensor, ...]], count: int) -> tuple[torch.Tensor, ...]:
    scores, regions, classes = (torch.cat(column) for column in zip(*parts, strict=True))
    scores, order = scores.sort(descending=True, stable=True)
    return scores[:count], regions[order[:count]], classes[order[:count]]


def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, nms_cfg: dict
) -> tuple[torch.Tensor, torch.Tensor]:
    """Non-maximum suppression within each class.

    The classes are told apart by shifting their boxes, in double precision: class 100 000 is
    shifted by 10^8 pixels, where float32 steps by 8.

    Args:
        boxes: (M, 4).
        scores: (M,).
        classes: (M,).
        nms_cfg: The host's, e.g. ``dict(type='nms', iou_threshold=0.5)``; other types than ``nms``
            go to MMCV.

    Returns:
        Indices and scores of what is kept, from the highest score down.
    """
    _, group = classes.unique(return_inverse=True)
    if nms_cfg.get('type', 'nms') != 'nms' or 'max_num' in nms_cfg:
        kept, index = batched_nms(boxes, scores, group, nms_cfg)
        return index, kept[:, 4]
    if nms_cfg.get('class_agnostic', False):
        group = torch.zeros_like(group)
    shifted = boxes.double()
    if len(boxes):
        shifted = shifted + group[:, None] * (boxes.max() - boxes.min() + 1).double()
    index = nms(shifted, scores.double(), nms_cfg['iou_threshold'])
    return index, scores[index]


def detections(
    boxes: torch.Tensor,
    chunks: Chunks,
    *,
    num_classes: int,
    nms_cfg: dict,
    max_per_img: int,
    score_thr: float = 0.0,
    per_class: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ``max_per_img`` best detections, equal to suppressing among all N x K candidates.

    Args:
        boxes: (N, 4), or (N, K, 4) if each class has a box of its own.
        chunks: Scores of the N regions, some classes at a time.
        num_classes: K.
        nms_cfg: As :func:`suppress`.
        max_per_img: How many; <= 0 for all.
        score_thr: Only scores above it are candidates.
        per_class: As :func:`best_candidates`.

    Returns:
        Boxes (n, 4), scores (n,), classes (n,) and regions (n,), from the highest score down.
    """
    everything = len(boxes) * num_classes
    count = everything if max_per_img <= 0 else min(everything, max(1000, 4 * max_per_img))
    while True:
        scores, regions, classes = best_candidates(chunks, count, score_thr, per_class)
        own = boxes[regions] if boxes.dim() == 2 else boxes[regions, classes]
        index, kept = suppress(own, scores, classes, nms_cfg)
        if len(scores) < count or count == everything or len(index) >= max_per_img > 0:
            break
        count = min(everything, 4 * count)
    if max_per_img > 0:
        index, kept = index[:max_per_img], kept[:max_per_img]
    return own[index], kept, classes[index], regions[index]


def best_class(chunks: Chunks) -> tuple[torch.Tensor, torch.Tensor]:
    """Highest score of each region and its class: (N,), (N,)."""
    best = label = None
    for start, scores in chunks():
        value, index = scores.max(1)
        index = index + start
        if best is not None:
            index = torch.where(value > best, index, label)
            value = torch.maximum(value, best)
        best, label = value, index
    return best, label
