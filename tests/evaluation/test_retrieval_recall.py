"""Retrieval recall by hand."""

import math

import pytest
import torch

from mmclip.evaluation.retrieval_recall import RetrievalRecall, first_ranks
from mmclip.registry import METRICS

E = torch.eye(3)


def test_ranks_with_several_right_items_and_ties():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[0.9, 0.1], [0.95, 0.05], [0.2, 0.8], [1.0, 0.0]])
    ids = torch.tensor([0, 1])
    item_ids = torch.tensor([0, 1, 1, 0])
    assert first_ranks(queries, items, ids, item_ids).tolist() == [0, 0]
    assert first_ranks(queries, items[:3], ids, item_ids[:3]).tolist() == [1, 0]
    same = torch.ones(3, 2)  # all score the same: the wrong ones come first
    assert first_ranks(queries, same, ids, torch.tensor([0, 1, 1])).tolist() == [2, 1]


def test_no_item_of_that_id():
    with pytest.raises(ValueError, match='no item'):
        first_ranks(E, E, torch.arange(3), torch.tensor([0, 1, 1]))


def test_both_ways():
    metric = METRICS.build(dict(type='mmclip.RetrievalRecall', topk=(1, 2)))
    # Image 0 has two texts, one of them about image 1; image 1's text is right but long.
    pairs = [
        (E[0], torch.stack([E[0], E[1]])),
        (2 * E[1], 3 * E[1]),
    ]
    metric.process({}, [dict(image_feature=i, text_features=t) for i, t in pairs])
    result = metric.evaluate(2)
    assert result == pytest.approx(
        {
            'retrieval/image_to_text_R@1': 50,  # image 1 ties with image 0's second text
            'retrieval/image_to_text_R@2': 100,
            'retrieval/text_to_image_R@1': 100 * 2 / 3,
            'retrieval/text_to_image_R@2': 100,
        }
    )


def test_batches_agree(monkeypatch):
    torch.manual_seed(0)
    queries, items = torch.randn(7, 4), torch.randn(7, 4)
    ids = torch.arange(7)
    whole = first_ranks(queries, items, ids, ids)
    monkeypatch.setattr('mmclip.evaluation.retrieval_recall._ROWS', 2)
    assert torch.equal(first_ranks(queries, items, ids, ids), whole)


def test_nothing_and_mistakes():
    assert math.isnan(RetrievalRecall().compute_metrics([])['image_to_text_R@1'])
    assert first_ranks(E[:0], E, torch.arange(0), torch.arange(3)).shape == (0,)
    with pytest.raises(ValueError, match='topk'):
        RetrievalRecall(topk=(0,))
