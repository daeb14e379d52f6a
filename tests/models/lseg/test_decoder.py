"""Reassemble, decoder and head blocks: shapes, closed forms, symmetries."""

import pytest
import torch
import torch.nn.functional as F

from mmclip.models.lseg.decoder import DPTDecoder, FusionBlock, ResidualConvUnit
from mmclip.models.lseg.head_block import HeadBlock
from mmclip.models.lseg.reassemble import Readout, Reassemble


@pytest.mark.parametrize('patch_size, grid', [(8, 8), (16, 4), (32, 2)])
def test_reassembled_strides(patch_size, grid):
    reassemble = Reassemble(in_channels=6, channels=[3, 4, 5, 7], patch_size=patch_size)
    taps = [(torch.randn(2, 6, grid, 2 * grid), torch.randn(2, 1, 6))] * 4
    height, width = grid * patch_size, 2 * grid * patch_size
    shapes = [tuple(x.shape) for x in reassemble(taps)]
    assert shapes == [
        (2, c, height // s, width // s) for c, s in zip((3, 4, 5, 7), (4, 8, 16, 32), strict=True)
    ]


def test_a_class_token_of_two_dimensions_is_one_special_token():
    torch.manual_seed(0)
    reassemble = Reassemble(in_channels=6, channels=[3] * 4, patch_size=16)
    patches, token = torch.randn(2, 6, 4, 4), torch.randn(2, 6)
    mmseg, ours = reassemble([(patches, token)] * 4), reassemble([(patches, token[:, None])] * 4)
    assert all(torch.equal(a, b) for a, b in zip(mmseg, ours, strict=True))


def test_readouts_in_closed_form():
    tokens, special = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[10.0], [20.0]]])
    assert torch.equal(Readout('ignore', 1)(tokens, special), tokens)
    assert torch.equal(Readout('add', 1)(tokens, special), tokens + 15)
    project = Readout('project', 1)
    with torch.no_grad():
        project.project.weight.copy_(torch.tensor([[1.0, 0.5]]))
        project.project.bias.fill_(-1)
    expected = F.gelu(torch.tensor([[[1 + 5 - 1.0], [2 + 5 - 1.0]]]))
    torch.testing.assert_close(project(tokens, special), expected)


def test_bad_reassembly():
    with pytest.raises(ValueError, match="readout: 'mean'"):
        Readout('mean', 4)
    with pytest.raises(ValueError, match='patch_size: 14'):
        Reassemble(in_channels=4, channels=[4] * 4, patch_size=14)


def test_residual_unit_adds_what_its_convolutions_give():
    unit = ResidualConvUnit(1, None)
    with torch.no_grad():
        for conv in (unit.conv1, unit.conv2):
            conv.weight.zero_()
            conv.weight[0, 0, 1, 1] = 2.0
            conv.bias.zero_()
    x = torch.tensor([[[[-3.0, 1.0]]]])
    torch.testing.assert_close(unit(x), torch.tensor([[[[-3.0, 1.0 + 4.0]]]]))
    assert torch.equal(x, torch.tensor([[[[-3.0, 1.0]]]])), 'the input was changed'


def test_fusion_doubles_with_aligned_corners():
    block = FusionBlock(1, None, has_skip=False)
    with torch.no_grad():
        block.unit2.conv2.weight.zero_()
        block.unit2.conv2.bias.zero_()
        block.project.weight.fill_(1)
        block.project.bias.zero_()
    out = block(torch.tensor([[[[0.0, 3.0]]]]))
    torch.testing.assert_close(out, torch.tensor([[[[0.0, 1, 2, 3], [0.0, 1, 2, 3]]]]))
    assert block.unit1 is None


def test_decoder_fuses_maps_with_odd_sides():
    decoder = DPTDecoder(in_channels=[2, 3, 4, 5], channels=6, norm_cfg=dict(type='BN'))
    maps = [
        torch.randn(1, c, h, w)
        for c, h, w in zip((2, 3, 4, 5), (20, 10, 5, 3), (12, 6, 3, 2), strict=True)
    ]
    paths = decoder.paths(maps)
    assert [tuple(p.shape[2:]) for p in paths] == [(40, 24), (20, 12), (10, 6), (5, 3)]
    decoder(maps).sum().backward()
    assert all(p.grad is not None for p in decoder.parameters()), 'something is never used'


@pytest.mark.parametrize('kind', ['depthwise', 'bottleneck'])
def test_block_does_not_care_for_order_and_number_of_labels(kind):
    torch.manual_seed(0)
    block = HeadBlock(kind=kind, depth=3)
    logits = torch.randn(2, 5, 6, 7)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(block(logits)[:, order], block(logits[:, order]))
    if kind == 'depthwise':
        torch.testing.assert_close(block(logits)[:, :2], block(logits[:, :2]))
    assert sum(p.numel() for p in block.parameters()) == 10


def test_block_in_closed_form():
    logits = torch.tensor([[[[1.0]], [[-4.0]]]])
    for kind, expected in (
        # conv doubles; lrelu 0.01 between; conv doubles
        ('depthwise', [4.0, -0.16]),
        # first 2x + max: 3, -7; lrelu: 3, -0.07; then 2x + max of that: 9, 2.86
        ('bottleneck', [9.0, 2.86]),
    ):
        block = HeadBlock(kind=kind, depth=2)
        with torch.no_grad():
            block.conv.weight.zero_()
            block.conv.weight[0, 0, 1, 1] = 2
            block.conv.bias.zero_()
        torch.testing.assert_close(block(logits).flatten(), torch.tensor(expected))


def test_depth_0_is_depth_1_and_bad_arguments():
    torch.manual_seed(0)
    zero, one = HeadBlock(kind='depthwise', depth=0), HeadBlock(kind='depthwise', depth=1)
    one.load_state_dict(zero.state_dict())
    logits = torch.randn(1, 3, 4, 4)
    assert torch.equal(zero(logits), one(logits))
    for arguments, message in (
        (dict(kind='pointwise'), 'pointwise'),
        (dict(kind='depthwise', activation='gelu'), 'gelu'),
        (dict(kind='depthwise', depth=-1), '-1'),
    ):
        with pytest.raises(ValueError, match=message):
            HeadBlock(**arguments)
