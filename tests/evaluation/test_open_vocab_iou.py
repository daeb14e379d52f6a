"""OpenVocabIoU: IoU by hand, groups of names, absent classes, no images, bad input."""

import math

import pytest
import torch

from mmclip.evaluation.open_vocab_iou import OpenVocabIoU, class_areas, iou_scores

CLASSES = ('background', 'cat', 'dog', 'yak')
SPLITS = dict(cat='base', dog='novel', yak='novel')


def sample(prediction, target):
    return dict(
        img_path='a.png',
        pred_sem_seg=dict(data=torch.tensor([prediction])),
        gt_sem_seg=dict(data=torch.tensor([target])),
    )


def metric(**kwargs):
    built = OpenVocabIoU(**kwargs)
    built.dataset_meta = dict(classes=CLASSES, splits=SPLITS)
    return built


def test_by_hand():
    # background: 1 of 3; cat: 2 of 3; dog: 0 of 2; yak nowhere; the last pixel is ignored
    one = sample([[0, 0, 1, 1], [1, 0, 0, 0]], [[0, 2, 1, 1], [0, 2, 255, 255]])
    built = metric()
    built.process({}, [one])
    scores = built.evaluate(1)
    # background: wanted 2 (0,0 and 1,0), predicted at 0,0 0,1 1,1 -> 1 / 4
    # cat: wanted 2, predicted 3 -> 2 / 3; dog: wanted 2, predicted 0 -> 0
    assert scores['seg/aAcc'] == pytest.approx(100 * 3 / 6)
    assert scores['seg/mIoU'] == pytest.approx(100 * (1 / 4 + 2 / 3 + 0 + 0) / 4)
    assert scores['seg/mIoU_base'] == pytest.approx(100 * 2 / 3)
    assert scores['seg/mIoU_novel'] == 0  # the yak is in no mask and does not count


def test_a_class_without_a_pixel_counts_zero_or_not():
    one = sample([[0, 1]], [[0, 1]])
    for absent, mean in (('zero', 50), ('nan', 100)):
        built = metric(absent=absent)
        built.process({}, [one])
        assert built.evaluate(1)['seg/mIoU'] == pytest.approx(mean)
    with pytest.raises(ValueError, match="absent: 'skip'"):
        metric(absent='skip')


def test_areas_add_up_over_images_and_do_not_depend_on_batches():
    torch.manual_seed(0)
    predictions, targets = torch.randint(0, 4, (2, 6, 5, 7))
    whole = class_areas(predictions, targets, 4, 255)
    parts = sum(class_areas(p, t, 4, 255) for p, t in zip(predictions, targets, strict=True))
    assert torch.equal(whole, parts)
    assert int(whole[1].sum()) == predictions.numel()


def test_more_than_255_classes():
    prediction = torch.tensor([[300, 65535, 255]])
    areas = class_areas(torch.tensor([[300, 1, 255]]), prediction, 385, 65535)
    accuracy, iou = iou_scores(areas)
    assert float(accuracy) == 1 and float(iou[300]) == 1 and float(iou[255]) == 1


def test_nothing_but_ignored_pixels():
    built = metric()
    built.process({}, [sample([[1, 2]], [[255, 255]])])
    scores = built.evaluate(1)
    assert scores['seg/aAcc'] == scores['seg/mIoU'] == 0
    assert math.isnan(scores['seg/mIoU_base'])


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='a.png'):
        metric().process({}, [sample([[1, 2, 0]], [[1, 2]])])
