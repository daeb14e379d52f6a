"""Merging detections of scales that answer for some sizes each."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmclip.registry import MODELS


class Detector(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


TTA = ConfigDict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=3)


def view(boxes, scores, labels=None, *, scale=1.0, flip=False):
    sample = DetDataSample(
        metainfo=dict(
            ori_shape=(100, 200),
            scale_factor=(scale, scale),
            flip=flip,
            flip_direction='horizontal' if flip else None,
        )
    )
    labels = [0] * len(scores) if labels is None else labels
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    return sample


def build(ranges):
    model = dict(type='mmclip.ScaleRangeTTA', module=Detector(), ranges=ranges, tta_cfg=TTA)
    return MODELS.build(model)


def test_a_scale_answers_for_its_sizes_in_pixels_of_the_resized_image():
    small, large = [10, 10, 20, 20], [50, 10, 90, 50]  # 10 and 40 pixels of the original
    views = [view([small, large], [0.9, 0.5], scale=2.0), view([small, large], [0.3, 0.8])]
    merged = build([(0, 50), (15, 1e4)]).merge_preds([views])[0].pred_instances
    assert merged.bboxes.tolist() == [small, large]  # 20 of the first scale, 40 of the second
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])


def test_bounds_themselves_are_excluded():
    views = [view([[0, 0, 10, 10]], [0.9]), view([[0, 0, 30, 30]], [0.8])]
    assert len(build([(10, 50), (0, 30)]).merge_preds([views])[0].pred_instances) == 0


def test_mirror_images_of_a_scale_share_its_range_and_are_turned_back():
    box, mirrored = [10, 10, 40, 40], [160, 10, 190, 40]
    views = [view([box], [0.6]), view([mirrored], [0.7], flip=True)]
    merged = build([(0, 1e4)]).merge_preds([views])[0].pred_instances
    assert merged.bboxes.tolist() == [box] and merged.scores.tolist() == pytest.approx([0.7])
    assert len(build([(0, 20)]).merge_preds([views])[0].pred_instances) == 0


def test_suppression_is_per_label_and_the_best_stay():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 80, 80]]
    views = [view(boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 0, 0])]
    merged = build([(0, 1e4)]).merge_preds([views])[0].pred_instances
    assert merged.labels.tolist() == [0, 1, 0]


def test_a_range_that_holds_nothing_and_too_few_views_are_errors():
    with pytest.raises(ValueError, match='ranges'):
        build([(64, 64)])
    views = [view([], []) for _ in range(3)]
    with pytest.raises(ValueError, match='ranges: 2, but 3 views'):
        build([(0, 1), (0, 2)]).merge_preds([views])
