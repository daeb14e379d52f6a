"""Phrase recall on hand-made cases; the fixture `flickr_recall` compares it with the official."""

import math

import pytest
import torch

from mmclip.evaluation import PhraseRecall

LEFT, RIGHT, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [80, 80, 90, 90]


def sample(truth, boxes, scores, labels, types=None):
    """What a model hands over; truth is the boxes of each phrase."""
    instances = dict(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    found = dict(img_id=1, phrase_boxes=truth, pred_instances=instances)
    return found | (dict(phrase_types=types) if types else {})


def evaluate(samples, **settings):
    metric = PhraseRecall(**settings)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_counts_the_best_boxes_of_each_phrase():
    # Phrase 0 is found by its second box, phrase 1 by its first, phrase 2 by none of its own.
    truth = [[LEFT], [RIGHT, FAR], [FAR]]
    boxes = [RIGHT, LEFT, FAR, FAR]
    found = evaluate([sample(truth, boxes, [0.9, 0.5, 0.8, 0.7], [0, 0, 1, 0])], topk=(1, 2, 5, -1))
    assert found['phrase/recall@1'] == pytest.approx(1 / 3)
    assert found['phrase/recall@2'] == pytest.approx(1 / 3)  # the far box of phrase 0 comes second
    assert found['phrase/recall@5'] == found['phrase/recall@all'] == pytest.approx(2 / 3)


def test_half_overlap_counts_and_less_does_not():
    half, less = [0, 0, 10, 5], [0, 0, 10, 4.9]
    assert evaluate([sample([[LEFT]], [half], [0.5], [0])])['phrase/recall@1'] == 1
    assert evaluate([sample([[LEFT]], [less], [0.5], [0])])['phrase/recall@1'] == 0


def test_merged_boxes_are_the_hull():
    hull = [0, 0, 30, 10]
    predictions = [sample([[LEFT, RIGHT]], [hull], [0.5], [0])]
    assert evaluate(predictions)['phrase/recall@1'] == 0
    assert evaluate(predictions, merge_boxes=True)['phrase/recall@1'] == 1


def test_types_are_told_apart_and_phrases_without_boxes_do_not_count():
    truth, types = [[LEFT], [], [RIGHT]], [['people'], ['scene'], ['people', 'other']]
    found = evaluate([sample(truth, [LEFT, LEFT], [0.9, 0.8], [0, 2], types)], topk=(1,))
    assert found == {
        'phrase/recall@1': 0.5,
        'phrase/recall@1_people': 0.5,
        'phrase/recall@1_other': 0.0,
    }


def test_no_detections_and_scores_that_are_nan():
    assert evaluate([sample([[LEFT]], [], [], [])])['phrase/recall@all'] == 0
    nan = [sample([[LEFT]], [LEFT], [math.nan], [0])]
    assert evaluate(nan)['phrase/recall@all'] == 0


def test_without_phrases_the_result_is_minus_one():
    metric = PhraseRecall(topk=(1,))
    metric.process(None, [sample([[]], [], [], [])])
    assert metric.compute_metrics(metric.results) == {'recall@1': -1.0}


def test_bad_input():
    with pytest.raises(ValueError, match='topk'):
        PhraseRecall(topk=(0,))
    with pytest.raises(ValueError, match='phrase_boxes'):
        PhraseRecall().process(None, [dict(img_id=3, pred_instances={})])
    with pytest.raises(ValueError, match='label 4'):
        evaluate([sample([[LEFT]], [LEFT], [0.5], [4])])
