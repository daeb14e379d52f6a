"""Zero-shot decoding, by hand."""

import pytest
import torch

from mmclip.models.group_vit.encoder import Grouping
from mmclip.models.group_vit.zero_shot import (
    group_index,
    group_maps,
    group_scores,
    paint,
    with_background,
)


def grouping(soft: list[torch.Tensor], grid: tuple[int, int], size: tuple[int, int]) -> Grouping:
    tokens = torch.zeros(1, grid[0] * grid[1], 4)
    return Grouping(tokens.mean(1), tokens, soft, soft, grid, size)


def test_maps_are_the_product_over_stages():
    first = torch.tensor([[[1.0, 0.0, 0.25], [0.0, 1.0, 0.75]]])  # 2 groups of 3 patches
    second = torch.tensor([[[0.5, 0.0], [0.5, 1.0]]])  # 2 groups of those 2
    maps = group_maps(grouping([first, second], (1, 3), (1, 3)))
    torch.testing.assert_close(maps[0, :, 0], torch.tensor([[0.5, 0, 0.125], [0.5, 1, 0.875]]))


def test_maps_are_resized_with_corners_not_aligned():
    soft = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    result = grouping([soft], (1, 2), (1, 4))
    torch.testing.assert_close(group_maps(result)[0, 0, 0], torch.tensor([1, 0.75, 0.25, 0]))
    assert group_index(result)[0, 0].tolist() == [0, 0, 1, 1]


def test_without_groups_each_pixel_belongs_to_its_patch():
    index = group_index(grouping([], (2, 2), (4, 6)))
    assert index.tolist() == [[[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2]


def test_scores_are_both_softmaxes_multiplied():
    groups = torch.eye(3)[None, :2]
    words = torch.eye(3)
    pooled = torch.tensor([[0.6, 0.8, 0.0]])
    scores = group_scores(groups, pooled, words, torch.tensor(2.0), top_classes=2)
    affinity = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    over_all = affinity.softmax(1)
    over_present = torch.cat([affinity[:, :2].softmax(1), torch.zeros(2, 1)], 1)
    torch.testing.assert_close(scores[0], over_all * over_present)
    # With more places than words, all of them are present.
    every = group_scores(groups, pooled, words, torch.tensor(2.0), top_classes=5)
    torch.testing.assert_close(every[0], over_all**2)


def test_background_is_what_no_word_names_but_never_the_best_group():
    scores = torch.tensor([[[0.5, 0.1], [0.2, 0.7], [0.3, 0.3]]])
    columns = with_background(scores, 0.6)[0, :, 0]
    assert columns.tolist() == [1, 0, 1]
    assert with_background(scores, 0.95)[0, :, 0].tolist() == [1, 0, 1]  # capped at 0.7
    assert with_background(scores, 0.0)[0, :, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(with_background(scores, 0.6)[:, :, 1:], scores)
    with pytest.raises(ValueError, match='bg_thresh: 95; allowed are 0'):
        with_background(scores, 95)


def test_each_image_has_its_own_cap():
    scores = torch.tensor([[[0.5], [0.2]], [[0.1], [0.05]]])
    assert with_background(scores, 0.9)[:, :, 0].tolist() == [[0, 1], [0, 1]]


def test_paint():
    scores = torch.tensor([[[0.1, 0.9], [0.8, 0.2]]])
    painted = paint(scores, torch.tensor([[[0, 1], [1, 0]]]))
    torch.testing.assert_close(painted[0, 0], torch.tensor([[0.1, 0.8], [0.8, 0.1]]))
    assert painted.argmax(1).tolist() == [[[1, 0], [0, 1]]]
    assert paint(scores[:0], torch.zeros(0, 2, 2, dtype=torch.long)).shape == (0, 2, 2, 2)


def test_many_patches_need_no_map_per_patch():
    index = group_index(grouping([], (28, 28), (448, 448)))
    assert index.shape == (1, 448, 448) and index.max() == 783
    assert index[0, 447, 0] == 27 * 28


@pytest.mark.parametrize('size', [(5, 7), (64, 3)])
def test_sizes_that_do_not_divide(size):
    index = group_index(grouping([], (2, 3), size))
    assert index.shape == (1, *size) and index.unique().tolist() == list(range(6))
