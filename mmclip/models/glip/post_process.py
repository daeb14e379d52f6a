"""From token probabilities to detections."""

import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData

AGGREGATIONS = ('MEAN', 'MAX', 'POWER', 'ONEHOT')


def phrase_scores(probs: torch.Tensor, maps: torch.Tensor, how: str = 'MEAN') -> torch.Tensor:
    """Scores of phrases from the probabilities of their tokens; 0 for a phrase without tokens.

    Source: official ``convert_grounding_to_od_logits``.

    Args:
        probs: Of each token.
        maps: Which tokens a phrase has, 0 or not.
        how: ``'MEAN'``, ``'MAX'``, ``'POWER'`` (geometric mean), ``'ONEHOT'`` (token k is
            phrase k).

    Shapes:
        probs (N, T), maps (K, T) -> (N, K).

    Raises:
        ValueError: an unknown ``how``.
    """
    member = (maps > 0).to(probs)
    counts = member.sum(1).clamp(min=1)
    if how == 'MEAN':
        return probs @ (member / counts[:, None]).T
    if how == 'POWER':
        logs = probs.clamp(min=torch.finfo(probs.dtype).tiny).log() @ member.T / counts
        return logs.exp() * (member.sum(1) > 0)
    if how == 'ONEHOT':
        return probs[:, : len(maps)]
    if how == 'MAX':
        phrases, tokens = member.nonzero(as_tuple=True)
        scores = probs.new_zeros(len(probs), len(maps))
        return scores.scatter_reduce(1, phrases.expand(len(probs), -1), probs[:, tokens], 'amax')
    raise ValueError(f'score_agg: {how!r}; allowed are {", ".join(AGGREGATIONS)}')


def candidates(
    scores: torch.Tensor, centerness: torch.Tensor, threshold: float, limit: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best pairs of a place and a phrase on one level.

    Pairs whose score (before centerness) is above the threshold, at most ``limit`` by score times
    centerness, best first.

    Shapes:
        scores (N, K), centerness (N,), both probabilities -> final scores sqrt(score centerness),
        places, phrases, each (M,).
    """
    places, phrases = (scores > threshold).nonzero(as_tuple=True)
    product = scores[places, phrases] * centerness[places]
    best, order = product.topk(min(limit, len(product)))
    return best.sqrt(), places[order], phrases[order]


def non_maximum(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou: float, limit: int
) -> InstanceData:
    """Suppression per label with widths x2 - x1 + 1; at most ``limit`` (-1: all), best first."""
    if len(boxes):
        # The host shifts boxes by label, which asks for coordinates that are not negative.
        _, keep = batched_nms(
            boxes.float(), scores.float(), labels, dict(type='nms', iou_threshold=iou, offset=1)
        )
        keep = keep[:limit] if limit >= 0 else keep
        boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
    return InstanceData(bboxes=boxes, scores=scores, labels=labels)


def merge(parts: list[InstanceData], limit: int) -> InstanceData:
    """The detections of several captions, best first, at most ``limit`` (-1: all)."""
    if len(parts) == 1:
        return parts[0]
    joined = InstanceData.cat(parts)
    order = joined.scores.argsort(descending=True, stable=True)
    return joined[order[:limit] if limit >= 0 else order]
