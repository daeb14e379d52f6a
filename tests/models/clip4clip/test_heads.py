import math

import pytest
import torch

from mmclip.models.clip4clip.heads import masked_mean
from mmclip.models.clip4clip.pair_scores import pair_scores
from mmclip.models.clip4clip.patch_3d import Patch3D

LOOSE = ('meanP', 'seqLSTM', 'seqTransf')
ALL = (*LOOSE, 'tightTransf')


def test_mean_of_directions_by_hand():
    frames = torch.tensor([[[3.0, 0], [0, 1], [9, 9]]])
    mask = torch.tensor([[True, True, False]])
    expected = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5)]])
    torch.testing.assert_close(masked_mean(frames, mask), expected)
    # MMAction2's port: lengths count.
    expected = torch.tensor([[3 / math.sqrt(10), 1 / math.sqrt(10)]])
    torch.testing.assert_close(masked_mean(frames, mask, normalize_frames=False), expected)


@pytest.mark.parametrize('name', ALL)
def test_padding_and_neighbors_change_nothing(make_head, mask_of, name):
    head = make_head(name)
    frames, texts, mask = torch.randn(4, 6, 16), torch.randn(3, 16), mask_of([6, 3, 1, 4])
    other = torch.where(mask[..., None], frames, 100 * torch.randn(4, 6, 16))

    def run(frames, mask):
        return head(frames, mask).T if head.is_loose else head.all_pairs(texts, frames, mask)

    out = run(frames, mask)
    torch.testing.assert_close(run(other, mask), out, atol=1e-5, rtol=1e-5)
    for i, length in enumerate([6, 3, 1, 4]):
        alone = run(frames[i : i + 1, :length], mask[i : i + 1, :length])
        torch.testing.assert_close(alone[:, 0], out[:, i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('name', ALL)
def test_a_video_without_a_frame_is_no_nan(make_head, mask_of, name):
    head = make_head(name)
    frames = torch.zeros(2, 3, 16, requires_grad=True)
    texts, mask = torch.randn(2, 16), mask_of([0, 2], 3)
    out = head(frames, mask) if head.is_loose else head.all_pairs(texts, frames, mask)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(frames.grad).all()
    if head.is_loose:
        assert out[0].abs().max() == 0


@pytest.mark.parametrize('name', ALL)
def test_an_empty_batch_has_a_gradient(make_head, name):
    head = make_head(name)
    frames = torch.zeros(0, 3, 16, requires_grad=True)
    mask, texts = torch.zeros(0, 3, dtype=torch.bool), torch.zeros(0, 16)
    out = head(frames, mask) if head.is_loose else head.all_pairs(texts, frames, mask)
    out.sum().backward()
    assert out.shape == ((0, 16) if head.is_loose else (0, 0))


def test_the_order_of_frames_matters_but_not_to_the_mean(make_head, mask_of):
    frames, mask = torch.randn(2, 5, 16), mask_of([5, 5])
    for name in LOOSE:
        head = make_head(name)
        change = (head(frames, mask) - head(frames.flip(1), mask)).abs().max()
        assert (change < 1e-6) == (name == 'meanP'), (name, change)


@pytest.mark.parametrize('layers', [1, 2, 3])
@pytest.mark.parametrize('pairs', [None, 1, 5, 1000])
def test_fast_scores_of_all_pairs_are_the_slow_ones(make_head, mask_of, layers, pairs):
    config = dict(type='mmclip.TightTransfHead', layers=layers, heads=2)
    head = make_head(config)
    lengths = [4, 1, 0, 6, 4, 2, 6]
    texts, frames, mask = torch.randn(5, 16), torch.randn(7, 6, 16), mask_of(lengths)
    with torch.no_grad():
        slow = head.all_pairs(texts, frames, mask)
        fast = pair_scores(head, texts, frames, mask, pairs=pairs)
    assert slow.std() > 0.05
    torch.testing.assert_close(fast, slow, atol=2e-5, rtol=1e-5)
    assert pair_scores(head, texts[:0], frames, mask).shape == (0, 7)
    assert pair_scores(head, texts, frames[:0], mask[:0]).shape == (5, 0)


def test_the_tight_head_takes_the_fast_way_only_without_gradients(make_head, mask_of):
    head = make_head('tightTransf')
    texts, frames, mask = torch.randn(2, 16), torch.randn(3, 4, 16), mask_of([4, 4, 2])
    assert head(texts, frames, mask).requires_grad
    with torch.no_grad():
        torch.testing.assert_close(head(texts, frames, mask), head.all_pairs(texts, frames, mask))
        assert not head(texts, frames, mask).requires_grad


def test_more_frames_than_positions_and_other_bad_settings(make_head, mask_of):
    with pytest.raises(ValueError, match='10 tokens are more than the 9'):
        make_head('seqTransf')(torch.zeros(1, 10, 16), mask_of([10]))
    tight = make_head('tightTransf')
    for function in (tight.all_pairs, tight.forward):
        with pytest.raises(ValueError, match='11 tokens are more than the 10'), torch.no_grad():
            function(torch.zeros(1, 16), torch.zeros(1, 10, 16), mask_of([10]))
    with pytest.raises(ValueError, match='heads: 3'):
        make_head(dict(type='mmclip.SeqTransfHead', heads=3))
    with pytest.raises(ValueError, match='layers: 0'):
        make_head(dict(type='mmclip.TightTransfHead', layers=0))
    with pytest.raises(ValueError, match='pairs: 0'):
        make_head(dict(type='mmclip.TightTransfHead', pairs=0))
    with pytest.raises(ValueError, match='patch_init'):
        Patch3D(width=4, patch=2, init='middle')


def test_3d_patches_start_as_one_frame_or_as_the_mean_of_three():
    conv = torch.nn.Conv2d(3, 5, 4, stride=4, bias=False)
    video = torch.randn(2, 3, 6, 8, 8)
    flat = conv(video.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 6)).transpose(1, 2)
    center = Patch3D(width=5, patch=4)
    center.start_from(conv)
    torch.testing.assert_close(center(video), flat)
    average = Patch3D(width=5, patch=4, init='average')
    average.start_from(conv)
    nothing = torch.zeros_like(flat[:, :, :1])
    before = torch.cat([nothing, flat[:, :, :-1]], 2)
    behind = torch.cat([flat[:, :, 1:], nothing], 2)
    torch.testing.assert_close(average(video), (before + flat + behind) / 3)
