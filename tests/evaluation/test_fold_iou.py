"""FoldIoU: mIoU and FB-IoU by hand, boundary pixels, classes nobody asked for."""

import pytest
import torch

from mmclip.evaluation.fold_iou import FoldIoU, fold_areas, fold_scores


def sample(class_id, prediction, target):
    return dict(
        img_path='a.png',
        class_id=class_id,
        pred_sem_seg=dict(data=torch.tensor([prediction])),
        gt_sem_seg=dict(data=torch.tensor([target])),
    )


def metric(ids):
    built = FoldIoU()
    built.dataset_meta = dict(fold_class_ids=ids)
    return built


def test_by_hand():
    built = metric([2, 5])
    built.process({}, [sample(2, [[1, 1, 0, 0]], [[1, 0, 0, 255]])])  # fg 1 / 2, bg 1 / 2
    built.process({}, [sample(2, [[1, 1, 1, 0]], [[1, 1, 1, 1]])])  # fg 3 / 4, bg 0 / 1
    built.process({}, [sample(5, [[0, 0, 1, 0]], [[1, 0, 1, 0]])])  # fg 1 / 2, bg 2 / 3
    scores = built.evaluate(3)
    assert scores['fold/mIoU'] == pytest.approx(100 * (4 / 6 + 1 / 2) / 2)
    assert scores['fold/FB_IoU'] == pytest.approx(100 * (5 / 8 + 3 / 6) / 2)


def test_ignored_pixels_count_nowhere():
    inter, union = fold_areas(torch.ones(1, 1, 4).long(), torch.tensor([[[1, 0, 255, 255]]]))
    assert inter.tolist() == [[0], [1]] and union.tolist() == [[1], [2]]


def test_a_class_that_nobody_asked_for_counts_zero():
    built = metric([0, 1])
    built.process({}, [sample(0, [[1, 0]], [[1, 0]])])
    assert built.evaluate(1)['fold/mIoU'] == pytest.approx(50)


def test_empty_masks_do_not_divide_by_zero():
    assert fold_scores(torch.zeros(2, 3), torch.zeros(2, 3), [0, 2]) == (0.0, 0.0)


def test_other_frames_are_refused():
    with pytest.raises(ValueError, match='rescale=False'):
        metric([0]).process({}, [sample(0, [[1, 0, 0]], [[1, 0]])])
