"""The groups' oracle labels and the mIoU by number of classes, by hand."""

import pytest
import torch

from mmclip.evaluation.group_iou import GroupIoU, oracle_labels


def test_each_group_gets_the_class_of_most_of_its_pixels():
    groups = torch.tensor([[0, 0, 0, 2], [2, 2, 5, 5]])
    target = torch.tensor([[1, 1, 0, 2], [2, 0, 255, 255]])
    expected = [[1, 1, 1, 2], [2, 2, 0, 0]]  # group 5 has no counted pixel
    assert oracle_labels(groups, target, 3).tolist() == expected


def test_ties_go_to_the_first_class_and_nothing_is_nothing():
    assert oracle_labels(torch.zeros(1, 2), torch.tensor([[2, 1]]), 3).tolist() == [[1, 1]]
    empty = torch.zeros(0, 4, dtype=torch.long)
    assert oracle_labels(empty, empty, 3).shape == (0, 4)


def sample(prediction, target, groups=None) -> dict:
    result = {
        'pred_sem_seg': dict(data=torch.tensor([prediction])),
        'gt_sem_seg': dict(data=torch.tensor([target])),
    }
    if groups is not None:
        result['pred_groups'] = dict(data=torch.tensor([groups]))
    return result


def metric(*samples: dict) -> dict:
    result = GroupIoU()
    result.dataset_meta = dict(classes=('background', 'a', 'b'))
    result.process({}, list(samples))
    return result.evaluate(len(samples))


def test_numbers_by_hand():
    one = sample([[0, 0, 2, 2]], [[0, 0, 1, 1]], [[0, 0, 1, 1]])  # right groups, wrong name
    two = sample([[0, 1, 2, 2]], [[0, 1, 2, 255]], [[0, 0, 1, 1]])
    scores = metric(one, two)
    assert scores['group/mIoU_of_1'] == pytest.approx(100 * (1 + 0) / 2)
    assert scores['group/oracle_mIoU_of_1'] == pytest.approx(100)
    assert scores['group/mIoU_of_2'] == pytest.approx(100)
    # In `two` the first group holds a background pixel and one of `a`: it is background.
    assert scores['group/oracle_mIoU_of_2'] == pytest.approx(100 * (1 / 2 + 0 + 1) / 3)
    # Together: background 3 of 4, a 2 of 3, b 1 of 1.
    assert scores['group/oracle_mIoU'] == pytest.approx(100 * (3 / 4 + 2 / 3 + 1) / 3)


def test_without_groups_there_is_no_oracle():
    scores = metric(sample([[0, 1]], [[0, 1]]))
    assert set(scores) == {'group/mIoU_of_1'} and scores['group/mIoU_of_1'] == 100


def test_a_list_without_a_background_counts_all_classes():
    result = GroupIoU()
    result.dataset_meta = dict(classes=('a', 'b'))
    result.process({}, [sample([[0, 1]], [[0, 1]])])
    assert set(result.evaluate(1)) == {'group/mIoU_of_2'}
