"""IoU of phrases' pixels on hand-made masks."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.evaluator import Evaluator

from mmclip.evaluation.phrase_mask_iou import PhraseMaskIoU, masks_of_phrases
from mmclip.registry import METRICS


def columns(*ranges: tuple[int, int]) -> torch.Tensor:
    """Masks of 2 x 10 pixels that fill columns start to end."""
    place = torch.arange(10)
    rows = [(place >= start) & (place < end) for start, end in ranges]
    return torch.stack(rows)[:, None].expand(-1, 2, -1) if rows else torch.zeros(0, 2, 10).bool()


def sample(truth: list, true_labels: list, found: list, labels: list, scores: list) -> dict:
    masks = BitmapMasks(columns(*truth).numpy().astype(np.uint8), 2, 10)
    return dict(
        img_id=3,
        gt_instances=dict(masks=masks, labels=torch.tensor(true_labels, dtype=torch.long)),
        pred_instances=dict(
            masks=columns(*found),
            labels=torch.tensor(labels, dtype=torch.long),
            scores=torch.tensor(scores),
        ),
    )


def evaluate(*samples: dict, **settings) -> dict:
    metric = METRICS.build(dict(type='mmclip.PhraseMaskIoU') | settings)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_by_hand():
    # Phrase 0 means columns 0-4 (two objects), phrase 2 columns 6-9; phrase 1 nothing.
    results = evaluate(
        sample(
            [(0, 2), (2, 4), (6, 10)],
            [0, 0, 2],
            [(0, 2), (3, 6), (8, 9), (0, 10), (4, 6)],
            [0, 0, 2, 2, 1],
            [0.9, 0.4, 0.2, 0.1, 0.9],
        )
    )
    # 0: found 0-2 and 3-6: 3 of 6 columns. 2: none sure, so the best, 8-9: 1 of 4.
    assert results['phrase_mask/mean_iou'] == pytest.approx(100 * (3 / 6 + 1 / 4) / 2)
    assert results['phrase_mask/cum_iou'] == pytest.approx(100 * 4 / 10)
    assert results['phrase_mask/precision@0.5'] == pytest.approx(50)
    assert results['phrase_mask/precision@0.7'] == 0


def test_nothing_found_and_nothing_asked():
    nothing_found = sample([(0, 5)], [4], [], [], [])
    results = evaluate(nothing_found, sample([], [], [(0, 5)], [0], [0.9]))
    assert results['phrase_mask/mean_iou'] == 0
    empty = evaluate(sample([], [], [], [], []))
    assert set(empty.values()) == {-1.0}


def test_the_threshold_lets_in_more():
    one = sample([(0, 4)], [0], [(0, 2), (2, 4)], [0, 0], [0.9, 0.4])
    assert evaluate(one, score_thr=0.3)['phrase_mask/mean_iou'] == 100
    assert evaluate(one, score_thr=0.5)['phrase_mask/mean_iou'] == 50


def test_union_of_masks():
    union = masks_of_phrases(columns((0, 2), (1, 4), (9, 10)), torch.tensor([1, 1, 0]), 3)
    assert union[:, 0].int().sum(1).tolist() == [1, 4, 0]


def test_a_sample_without_masks_is_an_error():
    bare = sample([(0, 4)], [0], [(0, 2)], [0], [0.9])
    del bare['pred_instances']['masks']
    with pytest.raises(ValueError, match='image 3: pred_instances has no masks'):
        evaluate(bare)
    with pytest.raises(ValueError, match='gt_instances has no masks'):
        PhraseMaskIoU().process(None, [dict(img_id=1, pred_instances={})])


def test_counts_each_sample_once_under_the_evaluator():
    evaluator = Evaluator([PhraseMaskIoU()])
    pair = [sample([(0, 4)], [0], [(0, 4)], [0], [0.9]), sample([], [], [], [], [])]
    evaluator.metrics[0].process(None, pair)
    assert evaluator.evaluate(2)['phrase_mask/mean_iou'] == 100


def test_masks_without_a_pixel_are_zero_and_no_nan():
    results = evaluate(sample([(0, 0)], [0], [(0, 0)], [0], [0.9]))
    assert results['phrase_mask/cum_iou'] == results['phrase_mask/mean_iou'] == 0
