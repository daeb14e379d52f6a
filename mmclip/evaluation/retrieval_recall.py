"""Recall at k of images by texts and of texts by images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS

_ROWS = 1024  # queries scored at once, so that memory does not grow with their square


def first_ranks(
    queries: torch.Tensor,
    items: torch.Tensor,
    query_ids: torch.Tensor,
    item_ids: torch.Tensor,
) -> torch.Tensor:
    """Rank, from 0, of each query's best item among those with its id.

    An item that scores exactly as the best right one counts as before it: ties never help.

    Args:
        queries: L2-normalized.
        items: L2-normalized.
        query_ids: Which pair a query belongs to.
        item_ids: Which pair an item belongs to.

    Shapes:
        queries (N, D), items (M, D), query_ids (N,), item_ids (M,) -> (N,) int64.

    Raises:
        ValueError: a query without an item.
    """
    ranks = []
    for rows, ids in zip(queries.split(_ROWS), query_ids.split(_ROWS), strict=True):
        scores = rows @ items.T
        right = ids[:, None] == item_ids
        if not bool(right.any(1).all()):
            raise ValueError('queries: some have no item of the same id')
        best = scores.masked_fill(~right, float('-inf')).amax(1, keepdim=True)
        ranks.append(((scores >= best) & ~right).sum(1))
    return torch.cat(ranks) if ranks else torch.empty(0, dtype=torch.long)


@METRICS.register_module()
class RetrievalRecall(BaseMetric):
    """Per cent of queries that find a right partner among the k best, both ways.

    Source: the protocol of CLIP's and open_clip's zero-shot retrieval: an image with several texts
    counts as found if one of them is among its k best; each text looks for its one image.

    Args:
        topk: The k.
        collect_device: ``'cpu'`` or ``'gpu'``.
        prefix: Of the reported names.

    Raises:
        ValueError: no k, or one below 1.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        *,
        topk: Sequence[int] = (1, 5, 10),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)
        if not self.topk or min(self.topk) < 1:
            raise ValueError(f'topk: expected numbers from 1 on, got {topk!r}')

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps both features of each pair.

        Args:
            data_batch: Unused.
            data_samples: With ``image_feature`` (D,) and ``text_features`` (n, D) or (D,), raw.
        """
        for sample in data_samples:
            image = torch.as_tensor(sample['image_feature']).float().cpu()
            texts = torch.as_tensor(sample['text_features']).float().cpu()
            self.results.append((image, texts.reshape(-1, image.shape[-1])))

    def compute_metrics(self, results: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float]:
        """``image_to_text_R@k`` and ``text_to_image_R@k`` in per cent; NaN without any pair."""
        if not results:
            ways = ('image_to_text', 'text_to_image')
            return {f'{way}_R@{k}': float('nan') for way in ways for k in self.topk}
        images = F.normalize(torch.stack([image for image, _ in results]), dim=1)
        texts = F.normalize(torch.cat([texts for _, texts in results]), dim=1)
        image_ids = torch.arange(len(results))
        counts = torch.tensor([len(texts) for _, texts in results])
        text_ids = image_ids.repeat_interleave(counts)
        metrics = {}
        for way, ranks in (
            ('image_to_text', first_ranks(images, texts, image_ids, text_ids)),
            ('text_to_image', first_ranks(texts, images, text_ids, image_ids)),
        ):
            for k in self.topk:
                metrics[f'{way}_R@{k}'] = 100 * float((ranks < k).double().mean())
        return metrics
