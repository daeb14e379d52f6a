"""Which regions of an image meet the words of a batch, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmcv.ops import roi_align


@dataclass(frozen=True)
class Regions:
    """Locations of one image, the ones with a box first.

    Args:
        places: Numbers among the A locations of all levels.
        matched: Number of the box of each of the first of them; the others have none.
    """

    places: torch.Tensor
    matched: torch.Tensor

    def pad(self, places: torch.Tensor) -> 'Regions':
        """The same with locations that have no box."""
        return Regions(torch.cat([self.places, places.to(self.places)]), self.matched)


def positive_regions(
    matched: torch.Tensor, *, limit: int = 100, compat: bool = False
) -> torch.Tensor:
    """Locations that have a box, at most ``limit`` of them, in order.

    Source: official ``ATSSLossComputation``. It takes "number of the box is not 0", with 0 also for
    locations without one, so that the first box of each image takes no part: ``compat``.

    Args:
        matched: Number of the box of each location, -1 for none.
        limit: Where there are more, so many are drawn.
        compat: Leave the first box out.

    Shapes:
        (A,) int64 -> (R,) int64.
    """
    places = (matched > 0 if compat else matched >= 0).nonzero()[:, 0]
    if len(places) > limit:
        drawn = torch.randperm(len(places), device=places.device)[:limit]
        places = places[drawn.sort().values]
    return places


def negative_regions(
    matched: torch.Tensor, count: int, *, taken: torch.Tensor | None = None
) -> torch.Tensor:
    """``count`` locations without a box, drawn without repetition (fewer if there are fewer).

    Args:
        matched: Number of the box of each location, -1 for none.
        count: How many.
        taken: Exclude these instead, as the official code does, which may so draw locations of a
            image's first box as negatives.

    Shapes:
        (A,) int64 -> (count,) int64.
    """
    free = matched < 0
    if taken is not None:
        free = torch.ones_like(free)
        free[taken] = False
    free = free.nonzero()[:, 0]
    return free[torch.randperm(len(free), device=free.device)[: max(count, 0)]]


def location_features(maps: torch.Tensor, regions: Sequence[Regions]) -> list[torch.Tensor]:
    """Features of the chosen locations.

    Args:
        maps: Of all levels one after the other.
        regions: Of each image.

    Shapes:
        (B, A, C) -> B tensors (R, C).
    """
    return [maps[i, chosen.places] for i, chosen in enumerate(regions)]


def box_features(
    features: torch.Tensor, boxes: Sequence[torch.Tensor], stride: float
) -> list[torch.Tensor]:
    """One feature of each box: RoIAlign to a single bin, with aligned corners of pixels.

    Source: ``USE_BACKBONE_SHALLOW_CONTRASTIVE_LOSS`` of the official code: the c4 map, scale 1/16,
    at the anchors with a box.

    Args:
        features: One map for each image.
        boxes: xyxy pixels of each image.
        stride: Pixels of the image per pixel of the map.

    Shapes:
        (B, C, H, W), B tensors (R, 4) -> B tensors (R, C).
    """
    counts = [len(rows) for rows in boxes]
    features = features.float()  # half precision would move the boxes
    index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rois = torch.cat([index[:, None].to(features), torch.cat(list(boxes)).to(features)], 1)
    if not len(rois):
        return [features.flatten(2).mean(2)[i, None][:0] for i in range(len(counts))]
    found = roi_align(features.contiguous(), rois, (1, 1), 1 / stride, 0, 'avg', True)
    return list(found[:, :, 0, 0].split(counts))
