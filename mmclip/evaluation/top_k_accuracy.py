"""Top-k accuracy, its mean over classes, and both per group of classes."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmclip.registry import METRICS


def top_k_hits(scores: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Whether the true class is among the k best: (N, K), (N,) -> (N,) bool; k > K means all."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return (best == labels[:, None]).any(1)


@METRICS.register_module()
class TopKAccuracy(BaseMetric):
    """Per cent of images whose true class is among the k with the highest scores.

    Each process keeps, per image, the label, the group and one bit per k: nothing that grows with
    the number of classes is gathered.

    Args:
        topk: The k.
        per_class: Whether the mean over classes of their own accuracy is reported too (as CLIP does
            for Caltech101, Flowers102, Pets and FGVC Aircraft): ``mean_per_class``, of the first k.
        group_key: Meta key of the samples by which results are also split, e.g. ``'split'`` (base,
            novel, unseen in MiniWorld): ``base/top1`` ...
        collect_device: ``'cpu'`` or ``'gpu'``.
        prefix: Of the reported names.

    Raises:
        ValueError: no k, or one below 1; a data sample without ``gt_label`` or ``pred_scores``.
    """

    default_prefix = 'accuracy'

    def __init__(
        self,
        *,
        topk: int | Sequence[int] = (1, 5),
        per_class: bool = False,
        group_key: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or min(self.topk) < 1:
            raise ValueError(f'topk: expected numbers from 1 on, got {topk!r}')
        self.per_class = per_class
        self.group_key = group_key

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One row per image: label, group and hits.

        Args:
            data_batch: Unused.
            data_samples: With ``pred_scores`` (K,) and ``gt_label``; a ``gt_label`` below 0 is a
                image of unknown class and is left out.
        """
        for sample in data_samples:
            if 'gt_label' not in sample or 'pred_scores' not in sample:
                raise ValueError(
                    'data_samples: TopKAccuracy needs gt_label and pred_scores, got '
                    f'{sorted(sample)}; does the dataset know its labels?'
                )
            label = torch.as_tensor(sample['gt_label']).reshape(1).cpu()
            scores = torch.as_tensor(sample['pred_scores']).cpu()
            if int(label) < 0:
                continue
            hits = [bool(top_k_hits(scores[None], label, k)) for k in self.topk]
            group = str(sample.get(self.group_key, '')) if self.group_key else ''
            self.results.append((int(label), group, hits))

    def compute_metrics(self, results: list[tuple[int, str, list[bool]]]) -> dict[str, float]:
        """Means over images and, if asked for, over classes and per group; NaN without any."""
        if not results:
            print_log('TopKAccuracy: no labeled image was seen', 'current', level=30)
            return {f'top{k}': float('nan') for k in self.topk}
        labels = torch.tensor([row[0] for row in results])
        hits = torch.tensor([row[2] for row in results], dtype=torch.float64)
        metrics = self._means(labels, hits, '')
        groups = sorted({row[1] for row in results} - {''})
        for group in groups:
            rows = torch.tensor([row[1] == group for row in results])
            metrics |= self._means(labels[rows], hits[rows], f'{group}_')
        return metrics

    def _means(self, labels: torch.Tensor, hits: torch.Tensor, start: str) -> dict[str, float]:
        means = {
            f'{start}top{k}': 100 * float(column.mean())
            for k, column in zip(self.topk, hits.T, strict=True)
        }
        if self.per_class:
            _, place, counts = labels.unique(return_inverse=True, return_counts=True)
            sums = torch.zeros(len(counts), dtype=hits.dtype).index_add_(0, place, hits[:, 0])
            means[f'{start}mean_per_class'] = 100 * float((sums / counts).mean())
        return means
