"""The best candidates first give what suppression among all candidates gives."""

import pytest
import torch
from mmdet.models.layers import multiclass_nms

from mmclip.models.vild.detections import best_candidates, detections, suppress

NMS = dict(type='nms', iou_threshold=0.5)


def scene(regions: int, classes: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.rand(regions, 2, generator=generator) * 80
    sizes = torch.rand(regions, 2, generator=generator) * 40 + 4
    boxes = torch.cat([centers, centers + sizes], 1)
    return boxes, torch.rand(regions, classes, generator=generator)


def in_chunks(scores: torch.Tensor, width: int):
    return lambda: ((i, scores[:, i : i + width]) for i in range(0, scores.shape[1], width))


@pytest.mark.parametrize(('regions', 'classes', 'width'), [(60, 40, 7), (200, 3, 3), (5, 2, 1)])
@pytest.mark.parametrize('score_thr', [0.0, 0.7])
def test_equals_the_hosts_suppression_among_all(regions, classes, width, score_thr):
    boxes, scores = scene(regions, classes)
    host, labels = multiclass_nms(
        boxes, torch.nn.functional.pad(scores, (0, 1)), score_thr, dict(NMS), 50
    )
    found, kept, classes_of, regions_of = detections(
        boxes,
        in_chunks(scores, width),
        num_classes=classes,
        nms_cfg=NMS,
        max_per_img=50,
        score_thr=score_thr,
    )
    torch.testing.assert_close(kept, host[:, 4])
    torch.testing.assert_close(found, host[:, :4])
    assert torch.equal(classes_of, labels)
    assert torch.equal(scores[regions_of, classes_of], kept)


def test_looks_at_more_candidates_until_there_are_enough():
    # 1500 copies of one box of class 0 score best: among the first 1000 candidates only one
    # survives.
    boxes = torch.cat([torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(1500, 1), scene(20, 1)[0] + 50])
    scores = torch.rand(1520, 2) * 0.1
    scores[:1500, 0] += 0.8
    found, kept, classes, _ = detections(
        boxes, in_chunks(scores, 2), num_classes=2, nms_cfg=NMS, max_per_img=8
    )
    host, labels = multiclass_nms(boxes, torch.nn.functional.pad(scores, (0, 1)), 0.0, dict(NMS), 8)
    assert len(kept) == 8
    torch.testing.assert_close(torch.cat([found, kept[:, None]], 1), host)
    assert torch.equal(classes, labels)


def test_classes_far_apart_do_not_blur_boxes():
    # Two boxes with an IoU of 0.499 and 0.501 with the first; class 100 000 as float32 offset would
    # shift them by 10^8 pixels, where neighboring numbers are 8 apart.
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    others = torch.tensor([[0.0, 0.0, 100.0, 49.9], [0.0, 0.0, 100.0, 50.1]])
    boxes = torch.cat([box, others, box])
    classes = torch.tensor([99_999, 99_999, 99_999, 0])
    index, scores = suppress(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), classes, NMS)
    assert index.tolist() == [0, 1, 3]
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.8, 0.6]))


def test_class_agnostic_and_soft_suppression_are_the_hosts():
    boxes, scores = scene(40, 1)
    classes = torch.arange(40) % 3
    index, _ = suppress(boxes, scores[:, 0], classes, dict(NMS, class_agnostic=True))
    alone, _ = suppress(boxes, scores[:, 0], torch.zeros(40, dtype=torch.long), NMS)
    assert torch.equal(index, alone)
    soft = dict(type='soft_nms', iou_threshold=0.5, min_score=0.05)
    index, kept = suppress(boxes, scores[:, 0], classes, soft)
    assert len(index) > len(alone) and (kept <= scores[index, 0] + 1e-6).all()


def test_best_candidates_of_each_class():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    values, regions, classes = best_candidates(in_chunks(scores, 1), 10, per_class=2)
    torch.testing.assert_close(values, torch.tensor([0.9, 0.8, 0.3, 0.2]))
    assert regions.tolist() == [0, 1, 2, 1] and classes.tolist() == [0, 0, 1, 1]


def test_nothing_above_the_threshold():
    boxes, scores = scene(4, 3)
    found, kept, classes, regions = detections(
        boxes, in_chunks(scores, 2), num_classes=3, nms_cfg=NMS, max_per_img=5, score_thr=2.0
    )
    assert found.shape == (0, 4) and not len(kept) and not len(classes) and not len(regions)
