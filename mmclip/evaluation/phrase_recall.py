"""Recall of phrases: does one of the k best boxes of a phrase lie on what it names?"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torchvision.ops import box_iou

from mmclip.registry import METRICS

NEVER = 2**31 - 1  # rank of a phrase that no box finds


def best_ranks(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
    truth: torch.Tensor,
    truth_phrases: torch.Tensor,
    phrases: int,
    iou: float,
) -> torch.Tensor:
    """Rank, from 0, of each phrase's best scored box that lies on one of its true boxes.

    Args:
        boxes, scores, labels: Predictions; labels are numbers of phrases.
        truth, truth_phrases: True boxes and their phrases.
        phrases: P.
        iou: Least overlap, without the +1 of old code.

    Shapes:
        boxes (N, 4), scores, labels (N,), truth (M, 4), truth_phrases (M,) -> (P,) int64, ``NEVER``
        where no box does.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    boxes, labels = boxes[order], labels[order]
    by_label = torch.argsort(labels, stable=True)
    starts = torch.searchsorted(labels[by_label].contiguous(), labels[by_label].contiguous())
    rank = torch.empty_like(labels)
    rank[by_label] = torch.arange(len(labels)) - starts
    right = (box_iou(boxes, truth) >= iou) & (labels[:, None] == truth_phrases)
    hit = right.any(1)
    ranks = torch.full((phrases,), NEVER, dtype=torch.long)
    return ranks.scatter_reduce(0, labels[hit], rank[hit], 'amin')


@METRICS.register_module()
class PhraseRecall(BaseMetric):
    """Recall at k of the phrases of captions (Flickr30k Entities), in fractions.

    Any-box protocol: a phrase is found if any of its k best boxes overlaps any of its true boxes
    with IoU >= 0.5. Results are ``phrase/recall@k`` and, for each type of phrase,
    ``phrase/recall@k_<type>``; ``all`` stands for k = -1, all boxes, an upper bound. Phrases
    without true boxes do not count. -1 without any phrase.

    Source: official ``flickr_eval.py``.

    Each sample needs ``phrase_boxes`` (for each phrase its boxes, xyxy pixels of the original
    image), as the grounding datasets give them when testing, and may have ``phrase_types`` (for
    each phrase a list of words). The predictions' labels are numbers of phrases.

    Args:
        topk: The k; -1 for all boxes.
        iou: Least overlap.
        merge_boxes: Take the hull of a phrase's true boxes, as the older merged-box protocol does.

    Raises:
        ValueError: bad k; a sample without ``phrase_boxes``; a label that is no phrase.
    """

    default_prefix = 'phrase'

    def __init__(
        self,
        *,
        topk: Sequence[int] = (1, 5, 10, -1),
        iou: float = 0.5,
        merge_boxes: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)
        if not self.topk or any(k < 1 and k != -1 for k in self.topk):
            raise ValueError(f'topk: {topk!r}; allowed are numbers from 1 on, and -1 for all')
        self.iou = iou
        self.merge_boxes = merge_boxes

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if 'phrase_boxes' not in sample:
                raise ValueError(
                    f'image {sample.get("img_id")}: no phrase_boxes; test on a grounding dataset '
                    'and end its pipeline with mmclip.PackGroundingInputs'
                )
            per_phrase = [
                torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4)
                for boxes in sample['phrase_boxes']
            ]
            types = sample.get('phrase_types') or [()] * len(per_phrase)
            ranks = self._ranks(sample, per_phrase)
            # One entry per sample: MMEngine drops what is more than the dataset's length.
            self.results.append(
                [
                    (rank, tuple(kinds))
                    for rank, kinds, boxes in zip(ranks.tolist(), types, per_phrase, strict=True)
                    if len(boxes)
                ]
            )

    def _ranks(self, sample: dict, per_phrase: list[torch.Tensor]) -> torch.Tensor:
        found = sample['pred_instances']
        boxes, scores, labels = (
            torch.as_tensor(found[key]).detach().cpu() for key in ('bboxes', 'scores', 'labels')
        )
        labels = labels.long()
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(per_phrase):
            raise ValueError(
                f'image {sample.get("img_id")}: a detection has label {int(labels.max())}, but the '
                f'caption has {len(per_phrase)} phrases; the model must be told the caption '
                '(data_sample.text), not a vocabulary'
            )
        valid = torch.isfinite(scores)
        counts = torch.tensor([len(boxes) for boxes in per_phrase], dtype=torch.long)
        if self.merge_boxes:
            per_phrase = [_hull(boxes) for boxes in per_phrase]
            counts = counts.clamp(max=1)
        return best_ranks(
            boxes[valid].double().reshape(-1, 4),
            scores[valid],
            labels[valid],
            torch.cat([torch.empty(0, 4, dtype=torch.float64), *per_phrase]),
            torch.repeat_interleave(torch.arange(len(per_phrase)), counts),
            len(per_phrase),
            self.iou,
        )

    def compute_metrics(self, results: list[list[tuple[int, tuple[str, ...]]]]) -> dict[str, float]:
        results = [phrase for sample in results for phrase in sample]
        ranks = torch.tensor([rank for rank, _ in results], dtype=torch.long)
        kinds = sorted({kind for _, types in results for kind in types})
        groups = {'': torch.ones(len(results), dtype=torch.bool)}
        groups |= {
            f'_{kind}': torch.tensor([kind in types for _, types in results]) for kind in kinds
        }
        return {
            f'recall@{"all" if k == -1 else k}{name}': _share(
                ranks[group] < (NEVER if k == -1 else k)
            )
            for k in self.topk
            for name, group in groups.items()
        }


def _hull(boxes: torch.Tensor) -> torch.Tensor:
    """Smallest box around all, (n, 4) -> (1, 4); none stays none."""
    if not len(boxes):
        return boxes
    return torch.cat([boxes[:, :2].amin(0), boxes[:, 2:].amax(0)])[None]


def _share(hits: torch.Tensor) -> float:
    return float(hits.double().mean()) if len(hits) else -1.0
