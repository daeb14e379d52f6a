"""The loss across images: by hand, its targets, its regions, and two processes as one."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from forked import run_ranks
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from mmclip.compat import end_process
from mmclip.models.glipv2.inter_image_loss import InterImageRegionWordLoss
from mmclip.models.glipv2.region_words import (
    class_key,
    phrase_keys,
    propagated_targets,
    soft_cross_entropy,
    word_keys,
)
from mmclip.models.glipv2.regions import (
    box_features,
    location_features,
    negative_regions,
    positive_regions,
)
from mmclip.registry import MODELS


def build(**settings) -> InterImageRegionWordLoss:
    torch.manual_seed(0)
    settings = dict(region_dim=3, word_dim=5, hidden=4, pad='zero', gather=None) | settings
    return InterImageRegionWordLoss(**settings)


def plain(**settings) -> InterImageRegionWordLoss:
    """Projections that change nothing."""
    loss = build(region_dim=2, word_dim=2, hidden=2, **settings)
    for layer in (loss.projection_image, loss.projection_text):
        layer.weight.data.copy_(torch.eye(2))
        layer.bias.data.zero_()
    return loss


def two_images(labels=((7,), (7,))) -> tuple:
    """One region (1, 0) in each image; texts of two words, (1, 0) which it means, and (0, 1)."""
    words = torch.eye(2).expand(2, 2, 2).contiguous()
    maps = [torch.tensor([[True, False]])] * 2
    return (
        [torch.tensor([[1.0, 0.0]])] * 2,
        plain().choose([torch.tensor([0, -1])] * 2),
        maps,
        [torch.tensor(rows) for rows in labels],
        words,
        torch.ones(2, 2, dtype=torch.bool),
        torch.tensor([[labels[0][0], -1], [labels[1][0], -1]]),
    )


def test_by_hand():
    # Logits of a region: 1, 0, 1, 0. Right are the first words of both texts.
    e = math.e
    to_words = 2 * -math.log(e / (2 * e + 2))
    # A word's logits over the two regions are equal; two of the four words have right answers.
    to_regions = 2 * math.log(2)
    loss = plain()(*two_images())
    assert loss.item() == pytest.approx((to_words + to_regions) / 2)
    halved = plain(loss_weight=0.5)(*two_images(), avg_factor=4.0)
    assert halved.item() == pytest.approx(loss.item() / 8)


def test_without_propagation_words_of_other_images_are_wrong():
    loss = plain(propagate=False)
    (_, to_words), (_, to_regions) = loss.rows(*two_images())
    own = torch.tensor([[True, False, False, False], [False, False, True, False]])
    torch.testing.assert_close(to_words, own)
    torch.testing.assert_close(to_regions, own.T)
    (_, spread), _ = plain().rows(*two_images())
    assert spread.sum() == 4


def test_free_text_neither_gives_nor_gets_positives():
    (_, targets), _ = plain().rows(*two_images(labels=((7,), (-1,))))
    assert targets.sum() == 2  # within the images only
    (_, targets), _ = plain().rows(*two_images(labels=((-1,), (-1,))))
    assert targets.sum() == 2


def test_the_own_image_goes_by_its_spans_not_by_labels():
    # Both words of image 0 carry label 7, the box means the second only.
    own = torch.zeros(2, 1, 2, dtype=torch.bool)
    own[0, 0, 1] = own[1, 0, 0] = True
    labels = torch.tensor([[7], [7]]), torch.tensor([[7, 7], [7, -1]])
    targets = propagated_targets(*labels, own)
    assert targets[:, 0].tolist() == [
        [[False, True], [True, False]],
        [[True, True], [True, False]],
    ]


def test_rows_without_a_right_answer_add_nothing_but_are_negatives():
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    targets = torch.tensor([[True, False], [False, False]])
    expected = math.log(1 + math.exp(-2))
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(expected)
    columns = soft_cross_entropy(logits.T, targets.T)
    assert columns.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_classes_of_two_data_sets_meet_by_name():
    first = phrase_keys('person. hot dog', [[[0, 6]], [[8, 15]]], [0, 52], by_name=True)
    second = phrase_keys('cat. Hot  Dog', [[[0, 3]], [[5, 13]]], [3, 0], by_name=True)
    assert first[1] == second[1] == class_key('hot dog') and len({*first, *second}) == 3
    assert min(first) >= 0
    assert phrase_keys('a red star', [[[0, 10]]], [-1], by_name=True) == [-1]
    assert phrase_keys('cat', [[[0, 3]]], [3], by_name=False) == [3]


def test_tokens_carry_the_label_of_their_phrase():
    maps = torch.tensor([[0, 1, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 1, 0]])
    assert word_keys(maps, torch.tensor([4, 9, -1])).tolist() == [-1, 4, 9, -1, -1]
    assert word_keys(maps[:0], torch.zeros(0, dtype=torch.long)).tolist() == [-1] * 5


def test_the_first_box_takes_part_unless_compat():
    matched = torch.tensor([-1, 0, 1, 0, 2, -1])
    assert positive_regions(matched).tolist() == [1, 2, 3, 4]
    assert positive_regions(matched, compat=True).tolist() == [2, 4]
    assert sorted(negative_regions(matched, 5).tolist()) == [0, 5]
    taken = torch.tensor([2, 4])
    assert sorted(negative_regions(matched, 9, taken=taken).tolist()) == [0, 1, 3, 5]
    assert negative_regions(matched, 0).tolist() == []


def test_at_most_so_many_regions_and_as_many_in_each_image():
    matched = [torch.zeros(300, dtype=torch.long), torch.full((300,), -1)]
    matched[1][5] = 0
    chosen = build(max_regions=7, pad='negative').choose(matched)
    assert [len(r.places) for r in chosen] == [7, 7]
    assert [len(r.matched) for r in chosen] == [7, 1] and chosen[1].places[0] == 5
    assert len(chosen[1].places.unique()) == 7
    assert chosen[0].places.tolist() == sorted(set(chosen[0].places.tolist()))
    assert [len(r.places) for r in build(max_regions=7).choose(matched)] == [7, 1]


def test_negative_pads_are_negatives_of_words():
    features, _, *rest = two_images()
    matched = [torch.tensor([0, 0, -1]), torch.tensor([0, -1, -1])]
    maps = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    zero, negative = plain(), plain(pad='negative')
    losses = []
    for loss in (zero, negative):
        chosen = loss.choose(matched)
        features = location_features(maps.expand(2, 3, 2), chosen)
        (_, to_words), (logits, to_regions) = loss.rows(features, chosen, *rest)
        losses.append(loss(features, chosen, *rest))
        assert to_words.any(1).tolist() == [True, True, True, False]
        assert bool((logits[:, 3] == -1e6).all()) == (loss is zero)
        assert not to_regions[:, 3].any()
    assert losses[1] > losses[0]


def test_features_of_boxes_and_of_locations():
    maps = torch.arange(24.0).reshape(1, 12, 2)
    (chosen,) = build().choose([torch.tensor([-1] * 10 + [0, 1])])
    torch.testing.assert_close(location_features(maps, [chosen])[0], maps[0, 10:])
    constant = torch.full((2, 3, 4, 4), 5.0)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.zeros(0, 4)]
    found = box_features(constant, boxes, 16)
    torch.testing.assert_close(found[0], torch.full((1, 3), 5.0))
    assert found[1].shape == (0, 3)
    assert [len(rows) for rows in box_features(constant, [torch.zeros(0, 4)] * 2, 16)] == [0, 0]


def test_a_batch_without_boxes_gives_zero_and_gradients():
    loss = build()
    words = torch.randn(2, 3, 5, requires_grad=True)
    chosen = loss.choose([torch.full((4,), -1)] * 2)
    features = location_features(torch.randn(2, 4, 3), chosen)
    none = torch.zeros(0, 3, dtype=torch.bool), torch.zeros(0, dtype=torch.long)
    mask = torch.ones(2, 3, dtype=torch.bool)
    total = loss(features, chosen, [none[0]] * 2, [none[1]] * 2, words, mask, mask.long() - 2)
    total.backward()
    assert total.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in loss.parameters())


def test_half_precision_is_computed_in_float32():
    exact = plain()(*two_images())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        total = plain()(*two_images())
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, exact)


def test_words_in_half_precision_give_a_loss_in_float32():
    features, *rest = two_images()
    half = [
        x.bfloat16() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in rest
    ]
    total = plain()(features, *half)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, plain()(features, *rest), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(source='c5'), "source: 'c5'; allowed are 'fpn', 'c4', 'roi'"),
        (dict(text='early'), 'text'),
        (dict(pad='mean'), 'pad'),
        (dict(gather='all'), 'gather'),
        (dict(max_regions=0), 'max_regions: 0'),
        (dict(hidden=0), 'hidden'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_is_built_by_name():
    config = dict(type='mmclip.InterImageRegionWordLoss', region_dim=256, word_dim=768)
    loss = MODELS.build(config)
    assert loss.projection_image.weight.shape == (64, 256) and loss.log_scale.item() == 0


# -- two processes ---------------------------------------------------------------------------------


def batch_of(images: range) -> tuple:
    """Images with unequal numbers of boxes and words; each has one content everywhere."""
    boxes, tokens = [3, 0, 1, 2], [4, 6, 3, 5]
    width = max(tokens[i] for i in images)
    matched, maps, labels, rows, words, mask, word_labels = ([] for _ in range(7))
    for i in images:
        generator = torch.Generator().manual_seed(i)
        numbers = torch.arange(8) - 3
        matched.append(torch.where(numbers < boxes[i], numbers.clamp(min=-1), -1))
        maps.append(torch.rand(boxes[i], tokens[i], generator=generator) > 0.5)
        maps[-1] = torch.nn.functional.pad(maps[-1], (0, width - tokens[i]))
        labels.append(torch.arange(boxes[i]) - int(i == 3))
        rows.append(torch.randn(8, 3, generator=generator))
        words.append(torch.zeros(width, 5))
        words[-1][: tokens[i]] = torch.randn(tokens[i], 5, generator=generator)
        mask.append(torch.arange(width) < tokens[i])
        word_labels.append(torch.arange(width) - 1)
    return (
        matched,
        torch.stack(rows),
        maps,
        labels,
        torch.stack(words),
        torch.stack(mask),
        torch.stack(word_labels),
    )


class OnLocations(torch.nn.Module):
    def __init__(self, gather: str) -> None:
        super().__init__()
        self.loss = build(gather=gather)

    def forward(self, batch: tuple, positives: float) -> torch.Tensor:
        matched, maps, *rest = batch
        chosen = self.loss.choose(matched)
        return self.loss(location_features(maps, chosen), chosen, *rest, avg_factor=positives)


# Six locations have a box, three per process; the processes have three images and one.
SHARES = [range(3), range(3, 4)]


def run_rank(rank: int, folder: Path) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    found = {}
    for gather in ('full', 'local'):
        model = DistributedDataParallel(OnLocations(gather))
        loss = model(batch_of(SHARES[rank]), 3.0)
        loss.backward()
        found[f'{gather}.loss'] = loss.detach()
        for name, parameter in model.module.named_parameters():
            found[f'{gather}.{name}'] = parameter.grad
    save_file(found, folder / f'rank{rank}.safetensors')
    end_process()


def test_two_processes_are_one_on_the_joined_batch(tmp_path):
    single = OnLocations('full')
    loss = single(batch_of(range(4)), 6.0)
    loss.backward()
    run_ranks(__file__, tmp_path)
    results = [load_file(tmp_path / f'rank{rank}.safetensors') for rank in range(2)]
    for gather in ('full', 'local'):
        both = sum(result[f'{gather}.loss'] for result in results) / 2
        torch.testing.assert_close(both, loss.detach())
    for name, parameter in single.named_parameters():
        torch.testing.assert_close(results[0][f'full.{name}'], parameter.grad, msg=name)
    # The official way leaves out what other processes ask of a feature.
    weight = 'loss.projection_text.weight'
    gap = (results[0][f'local.{weight}'] - results[0][f'full.{weight}']).abs().max()
    assert gap > 1e-3


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
