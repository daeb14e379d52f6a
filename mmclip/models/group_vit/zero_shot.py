"""Zero-shot segmentation: groups are named by words, pixels belong to groups."""

import torch
import torch.nn.functional as F

from mmclip.models.group_vit.encoder import Grouping


def group_maps(grouping: Grouping, size: tuple[int, int] | None = None) -> torch.Tensor:
    """(B, m, H, W) how much of each pixel belongs to each of the last stage's groups.

    The product over stages of the SOFT assignments, resized bilinearly. The forward pass merges
    tokens by the hard ones; soft maps draw better (official issue 22).

    Args:
        grouping: With at least one grouping stage.
        size: H and W; the image's by default.
    """
    maps = grouping.soft[0]
    for soft in grouping.soft[1:]:
        maps = soft @ maps
    maps = maps.unflatten(2, grouping.grid)
    return F.interpolate(maps, size or grouping.size, mode='bilinear', align_corners=False)


def group_index(grouping: Grouping, size: tuple[int, int] | None = None) -> torch.Tensor:
    """(B, H, W) the group of each pixel; without groups, its nearest patch."""
    if grouping.soft:
        return group_maps(grouping, size).argmax(1)
    rows, columns = grouping.grid
    height, width = size or grouping.size
    row = (torch.arange(height) + 0.5).mul(rows / height).long().clamp(max=rows - 1)
    column = (torch.arange(width) + 0.5).mul(columns / width).long().clamp(max=columns - 1)
    index = row[:, None] * columns + column
    return index.to(grouping.tokens.device).expand(len(grouping.tokens), -1, -1)


def group_scores(
    groups: torch.Tensor,
    pooled: torch.Tensor,
    embeddings: torch.Tensor,
    logit_scale: torch.Tensor,
    top_classes: int = 5,
) -> torch.Tensor:
    r"""How well each word names each group.

    .. math:: a = s\, G T^\top, \qquad score = \mathrm{softmax}(a) \cdot \mathrm{softmax}(a')

    where a' has only the ``top_classes`` words that fit the whole image best.

    Source: the official code (not in the paper).

    Args:
        groups: L2-normalized group features.
        pooled: L2-normalized features of the images.
        embeddings: L2-normalized embeddings of the words.
        logit_scale: s.
        top_classes: Words that may be in an image.

    Shapes:
        (B, m, D), (B, D), (N, D), () -> (B, m, N).
    """
    affinity = logit_scale * groups @ embeddings.T
    chosen = (pooled @ embeddings.T).topk(min(top_classes, len(embeddings)), 1).indices
    absent = torch.ones_like(affinity[:, 0], dtype=torch.bool).scatter_(1, chosen, 0)
    present = affinity.masked_fill(absent[:, None], float('-inf'))
    return present.softmax(2) * affinity.softmax(2)


def with_background(scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Put a background in front: 1 for groups that no word names well enough, else 0.

    A group is background if its best score is below ``min(threshold, best score of the image)``:
    so the best group never is.

    Shapes:
        (B, m, N) -> (B, m, 1 + N).

    Raises:
        ValueError: the threshold is no score.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f'bg_thresh: {threshold}; allowed are 0 (no background) to 1')
    best = scores.amax(2)
    limit = best.amax(1, keepdim=True).clamp(max=threshold)
    return torch.cat([(best < limit).to(scores)[..., None], scores], 2)


def paint(scores: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Each pixel gets the scores of its group: (B, m, K), (B, H, W) -> (B, K, H, W)."""
    table = scores.transpose(1, 2)  # (B, K, m)
    flat = index.flatten(1)[:, None].expand(-1, table.shape[1], -1)
    return table.gather(2, flat).unflatten(2, index.shape[1:])
