"""ATSS with wide pixels, token targets, token losses, scores of phrases; by hand."""

import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmclip.models.glip.losses import TokenFocalLoss
from mmclip.models.glip.post_process import candidates, merge, non_maximum, phrase_scores
from mmclip.models.glip.targets import (
    LegacyBboxOverlaps,
    anchor_targets,
    centerness_targets,
    token_targets,
)
from mmclip.registry import TASK_UTILS

ASSIGNER = dict(
    type='mmdet.ATSSAssigner', topk=9, iou_calculator=dict(type='mmclip.LegacyBboxOverlaps')
)


def test_overlaps_count_the_last_pixel():
    first = torch.tensor([[0.0, 0, 9, 9], [0, 0, 0, 0]])
    second = torch.tensor([[5.0, 0, 14, 9], [0, 0, 0, 0], [20, 20, 30, 30]])
    found = LegacyBboxOverlaps()(first, second)
    assert found.tolist() == [[pytest.approx(50 / 150), pytest.approx(0.01), 0.0], [0.0, 1.0, 0.0]]
    assert LegacyBboxOverlaps()(first, second, mode='iof')[0, 0] == 0.5


def test_centerness_in_numbers():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 10, 10], [7, 0, 10, 10]])
    # Centers are at 5; l, r = 1, 5 in the second; the third box does not hold the center.
    found = centerness_targets(anchors, boxes)
    assert found.tolist() == [1.0, pytest.approx(math.sqrt(0.2)), 0.0]


def test_targets_of_a_image():
    level = torch.tensor([[0.0, 0, 7, 7], [8, 0, 15, 7], [0, 8, 7, 15], [8, 8, 15, 15]])
    box = torch.tensor([[0.0, 0, 7, 7]])
    found = anchor_targets(TASK_UTILS.build(ASSIGNER), [level], box)
    assert found.objects.tolist() == [0, -1, -1, -1]
    assert found.boxes[0].tolist() == box[0].tolist()
    assert found.centerness.tolist() == [1.0, 0.0, 0.0, 0.0]
    empty = anchor_targets(TASK_UTILS.build(ASSIGNER), [level], box[:0])
    assert not empty.positive.any() and empty.centerness.sum() == 0


def test_tokens_of_an_object_are_those_of_its_phrase():
    maps = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 1.0, 0]])
    objects, labels = torch.tensor([1, -1, 0]), torch.tensor([1, 0])
    assert token_targets(objects, labels, maps).tolist() == [[1, 1, 0, 0], [0] * 4, [0, 0, 1, 0]]
    assert token_targets(objects, labels, maps, no_object=True)[1].tolist() == [0, 0, 0, 1]
    nothing = token_targets(torch.tensor([-1]), labels[:0], maps[:0])
    assert nothing.tolist() == [[0, 0, 0, 0]]


def test_focal_loss_in_numbers():
    logits = torch.tensor([[[0.0, 0.0, 9.0]]], requires_grad=True)
    targets = torch.tensor([[[1.0, 0.0, 0.0]]])
    mask = torch.tensor([[True, True, False]])
    loss = TokenFocalLoss()(logits, targets, mask)
    # p = 1/2 for both: alpha .25 and .75, (1/2)^2 log 2
    assert float(loss) == pytest.approx(0.25 * math.log(2))
    assert float(TokenFocalLoss(alpha=-1)(logits, targets, mask)) == pytest.approx(
        0.5 * math.log(2)
    )
    assert float(TokenFocalLoss(loss_weight=2)(logits, targets, mask, avg_factor=4)) == (
        pytest.approx(0.125 * math.log(2))
    )
    loss.backward()
    assert logits.grad[0, 0, 2] == 0  # padding


def test_losses_of_nothing_have_gradients():
    for version in ('binary', 'binaryv2', 'softmax'):
        logits = torch.zeros(2, 0, 5, requires_grad=True)
        loss = TokenFocalLoss(version=version)(logits, logits.detach(), torch.ones(2, 5).bool())
        loss.backward()
        assert float(loss) == 0 and logits.grad.shape == (2, 0, 5)
    with pytest.raises(ValueError, match='binary, binaryv2, softmax'):
        TokenFocalLoss(version='focal')


def test_scores_of_phrases_in_numbers():
    probs = torch.tensor([[0.2, 0.8, 0.5]])
    maps = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert phrase_scores(probs, maps)[0].tolist() == pytest.approx([0.5, 0.5, 0])
    assert phrase_scores(probs, maps, 'MAX')[0].tolist() == pytest.approx([0.8, 0.5, 0])
    assert phrase_scores(probs, maps, 'POWER')[0].tolist() == pytest.approx([0.4, 0.5, 0])
    assert phrase_scores(probs, maps, 'ONEHOT')[0].tolist() == pytest.approx([0.2, 0.8, 0.5])
    with pytest.raises(ValueError, match='MEAN, MAX, POWER, ONEHOT'):
        phrase_scores(probs, maps, 'SUM')


def test_the_threshold_comes_before_centerness_and_the_order_after():
    scores = torch.tensor([[0.9, 0.04], [0.5, 0.06]])
    found, places, phrases = candidates(scores, torch.tensor([0.1, 1.0]), 0.05, 2)
    assert places.tolist() == [1, 0] and phrases.tolist() == [0, 0]
    assert found.tolist() == pytest.approx([0.5**0.5, 0.09**0.5])
    assert len(candidates(scores, torch.ones(2), 0.99, 9)[0]) == 0


def test_suppression_is_per_label_and_keeps_the_best():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 9]])
    scores, labels = torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 0, 1])
    found = non_maximum(boxes, scores, labels, 0.6, -1)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7]) and found.labels.tolist() == [0, 1]
    assert len(non_maximum(boxes, scores, labels, 0.6, 1)) == 1
    assert len(non_maximum(boxes[:0], scores[:0], labels[:0], 0.6, 5)) == 0


def test_captions_are_merged_best_first():
    parts = [
        InstanceData(
            bboxes=torch.zeros(2, 4), scores=torch.tensor([0.9, 0.1]), labels=torch.zeros(2)
        ),
        InstanceData(bboxes=torch.ones(1, 4), scores=torch.tensor([0.5]), labels=torch.ones(1)),
    ]
    assert merge(parts, -1).scores.tolist() == pytest.approx([0.9, 0.5, 0.1])
    assert merge(parts, 2).labels.tolist() == [0, 1]
