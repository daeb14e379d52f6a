"""Top-k accuracy by hand."""

import math

import pytest
import torch

from mmclip.evaluation.top_k_accuracy import TopKAccuracy, top_k_hits
from mmclip.registry import METRICS

SCORES = torch.tensor(
    [[0.9, 0.1, 0.0], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.0, 0.9, 0.1]]
)
LABELS = torch.tensor([0, 1, 0, 0, 1])
SPLITS = ['base', 'base', 'novel', 'novel', 'novel']


def samples():
    rows = zip(SCORES, LABELS, SPLITS, strict=True)
    return [dict(pred_scores=s, gt_label=label, split=split) for s, label, split in rows]


def run(metric: TopKAccuracy, data: list[dict]) -> dict[str, float]:
    metric.process({}, data)
    return metric.evaluate(len(data))


def test_hits():
    assert top_k_hits(SCORES, LABELS, 1).tolist() == [True, False, False, True, True]
    assert top_k_hits(SCORES, LABELS, 2).tolist() == [True, True, False, True, True]
    assert top_k_hits(SCORES, LABELS, 9).all()
    assert top_k_hits(torch.empty(0, 3), torch.empty(0, dtype=torch.long), 1).shape == (0,)


def test_accuracy_per_image_class_and_group():
    metric = METRICS.build(
        dict(type='mmclip.TopKAccuracy', topk=(1, 2), per_class=True, group_key='split')
    )
    result = run(metric, samples())
    assert result == pytest.approx(
        {
            'accuracy/top1': 60,
            'accuracy/top2': 80,
            'accuracy/mean_per_class': 100 * (2 / 3 + 1 / 2) / 2,
            'accuracy/base_top1': 50,
            'accuracy/base_top2': 100,
            'accuracy/base_mean_per_class': 50,
            'accuracy/novel_top1': 100 * 2 / 3,
            'accuracy/novel_top2': 100 * 2 / 3,
            'accuracy/novel_mean_per_class': 75,
        }
    )


def test_unknown_labels_are_left_out_and_nothing_is_nan():
    data = samples()
    data[1]['gt_label'] = torch.tensor(-1)
    assert run(TopKAccuracy(topk=1), data)['accuracy/top1'] == 75
    assert math.isnan(run(TopKAccuracy(topk=1), [dict(data[1])])['accuracy/top1'])


def test_mistakes():
    for topk in ((), 0, (1, 0)):
        with pytest.raises(ValueError, match='topk'):
            TopKAccuracy(topk=topk)
    with pytest.raises(ValueError, match='gt_label'):
        TopKAccuracy().process({}, [dict(pred_scores=SCORES[0])])
