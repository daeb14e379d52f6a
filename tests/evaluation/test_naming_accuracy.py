"""Naming accuracy on labels counted by hand."""

import pytest
import torch
from mmengine.registry import METRICS


def sample(truth, named, scores=None):
    named = torch.tensor(named, dtype=torch.int64)
    return dict(
        img_id=4,
        gt_instances=dict(labels=torch.tensor(truth, dtype=torch.int64)),
        pred_instances=dict(
            labels=named, scores=torch.ones(len(named)) if scores is None else torch.tensor(scores)
        ),
    )


@pytest.fixture
def metric():
    metric = METRICS.build(dict(type='mmclip.NamingAccuracy'))
    metric.dataset_meta = dict(
        classes=('a', 'b', 'c', 'd'), splits=('base', 'novel', 'unseen', 'base')
    )
    return metric


def test_counts_boxes_of_each_split(metric):
    metric.process(None, [sample([0, 1, 2], [0, 1, 0]), sample([], [])])
    metric.process(None, [sample([3, 3, 1], [3, 0, 2])])
    assert metric.evaluate(3) == {
        'naming/accuracy': 3 / 6,
        'naming/accuracy_base': 2 / 3,
        'naming/accuracy_novel': 1 / 2,
        'naming/accuracy_unseen': 0.0,
    }


def test_a_nan_score_is_wrong(metric):
    metric.process(None, [sample([0, 0], [0, 0], [0.5, float('nan')])])
    assert metric.evaluate(1)['naming/accuracy'] == 0.5


def test_without_boxes_and_without_splits(metric):
    metric.process(None, [sample([], [])])
    assert metric.evaluate(1)['naming/accuracy_novel'] == -1
    metric.dataset_meta = dict(classes=('a',))
    metric.process(None, [sample([0], [0])])
    assert metric.evaluate(1) == {'naming/accuracy': 1.0}


def test_a_model_that_does_not_answer_each_box_is_an_error(metric):
    with pytest.raises(ValueError, match=r'image 4: 1 predictions for 2 .*per_proposal=True'):
        metric.process(None, [sample([0, 1], [0])])
