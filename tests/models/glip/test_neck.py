"""The tower: shapes, what reads what, options, recomputed activations."""

import pytest
import torch

from mmclip.models.glip.dyconv import DyConv, DyReLU
from mmclip.models.glip.fpn import DropBlockFPN, drop_block
from mmclip.models.glip.fusion import VisionLanguageFusion, to_maps, to_positions
from mmclip.models.glip.neck import DeepFusionNeck
from mmclip.models.glip.text_layer import BertFusionLayer, build_text_layer
from mmclip.registry import MODELS

SHAPES = [(6, 5), (3, 3), (2, 2)]


def maps(seed: int = 0, channels: int = 8) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, channels, *shape, generator=generator) for shape in SHAPES)


def text(seed: int = 0) -> dict[str, torch.Tensor]:
    hidden = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(seed))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    return dict(hidden=hidden, embedded=hidden, mask=mask)


def neck(**settings) -> DeepFusionNeck:
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmclip.DeepFusionNeck',
            channels=8,
            text_dim=12,
            num_blocks=2,
            fusion=dict(embed_dim=16, num_heads=2, dropout=0.0),
            text_layer=dict(kind='bert', num_heads=2, hidden_dim=8, dropout=0.0),
            dyconv=dict(norm_groups=2),
        )
        | settings
    )


def test_positions_are_rows_of_levels_and_come_back():
    levels = maps()
    positions = to_positions(levels)
    assert positions.shape == (2, 30 + 9 + 4, 8)
    assert torch.equal(positions[1, 7], levels[0][1, :, 1, 2])
    assert torch.equal(positions[0, 30 + 5], levels[1][0, :, 1, 2])
    for level, back in zip(levels, to_maps(positions, levels), strict=True):
        assert torch.equal(level, back)


@pytest.mark.parametrize('fusion', [{}, dict(separate=True, num_levels=3), dict(kind='MHA-S')])
def test_words_change_the_image_but_padding_does_not(fusion):
    tower = neck(fusion=dict(embed_dim=16, num_heads=2, dropout=0.0) | fusion).eval()
    first, words = tower(maps(), text())
    assert [level.shape for level in first] == [level.shape for level in maps()]
    assert words['hidden'].shape == (2, 4, 12) and words['embedded'] is not words['hidden']
    other = text()
    other['hidden'] = other['hidden'].clone()
    other['hidden'][1, 2:] = 5.0
    for a, b in zip(first, tower(maps(), other)[0], strict=True):
        torch.testing.assert_close(a, b)
    other['hidden'][1, 0] = 5.0
    assert not torch.allclose(first[0][1], tower(maps(), other)[0][0][1], atol=1e-3)
    assert torch.equal(first[0][0], tower(maps(), other)[0][0][0])  # another image's words


def test_without_fusion_words_do_not_matter():
    tower = neck(fusion=None).eval()
    assert not tower.fuses and tower.blocks[0].text_layer is None
    first, words = tower(maps(), text())
    second, _ = tower(maps(), text(1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(words['hidden'], text()['hidden'])


def test_a_fusion_that_merges_no_words_is_not_separate():
    with pytest.raises(ValueError, match='separate: MHA-S'):
        neck(fusion=dict(kind='MHA-S', separate=True))


def test_mha_s_leaves_the_words_alone():
    fusion = VisionLanguageFusion(
        vision_dim=8, text_dim=12, kind='MHA-S', embed_dim=16, num_heads=2
    ).eval()
    hidden, mask = text()['hidden'], text()['mask']
    assert fusion(maps(), hidden, mask)[1] is hidden
    once = fusion(maps(), hidden, mask)[0]
    fusion.renormalize = True
    twice = fusion(maps(), hidden, mask)[0]
    assert torch.equal(once[0], twice[0])
    torch.nn.init.normal_(fusion.norm_l.weight)
    fusion.renormalize = False
    once = fusion(maps(), hidden, mask)[0]
    fusion.renormalize = True
    twice = fusion(maps(), hidden, mask)[0]
    assert torch.equal(once[0], twice[0]) and not torch.allclose(once[1], twice[1], atol=1e-4)


def test_recomputed_activations_give_the_same_gradients():
    found = []
    for with_cp in (False, True):
        tower = neck(with_cp=with_cp).train()
        out, words = tower(maps(), text())
        (sum(level.square().sum() for level in out) + words['hidden'].square().sum()).backward()
        found.append([parameter.grad for parameter in tower.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_activations_are_recomputed_for_gradients_only():
    tower, calls = neck(with_cp=True).eval(), []  # as the tuning of words leaves it
    tower.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        tower(maps(), text())
    assert len(calls) == 1
    tower(maps(), text())[0][0].sum().backward()
    assert len(calls) == 3


@pytest.mark.parametrize('kind', ['MHA-B', 'FILM'])
def test_blocks_hear_of_padding_only_if_there_is_some(kind):
    fusion, masks = dict(kind=kind, embed_dim=16, dropout=0.0), []
    tower = neck(fusion=fusion | (dict(num_levels=3) if kind == 'FILM' else dict(num_heads=2)))
    tower.eval().blocks[0].register_forward_pre_hook(lambda _, given: masks.append(given[2]))
    padded = text()
    whole = padded | dict(mask=torch.ones(2, 4, dtype=torch.bool))
    found = tower(maps(), whole)[0]
    tower(maps(), padded)
    assert masks[0] is None and masks[1] is not None
    block = tower.blocks[0](maps(), whole['hidden'], whole['mask'])
    torch.testing.assert_close(block, tower.blocks[0](maps(), whole['hidden'], None))
    assert all(torch.isfinite(level).all() for level in found)


def test_every_parameter_learns():
    tower = neck().train()
    out, words = tower(maps(), text())
    (sum(level.square().sum() for level in out) + words['hidden'].square().sum()).backward()
    assert [n for n, p in tower.named_parameters() if p.grad is None] == []


def test_gamma_starts_at_one_by_blocks():
    assert neck(num_blocks=4).blocks[0].fusion.gamma_v[0] == 0.25
    last = neck(last_text_layer=False).blocks
    assert last[0].text_layer is not None and last[1].text_layer is None


def test_dyrelu_in_numbers():
    act = DyReLU(4)
    for parameter in act.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2).expand(1, 4, 1, 2)
    assert torch.equal(act(x), x.clamp(min=0))  # all coefficients at their start: ReLU
    torch.nn.init.constant_(act.expand.bias[:4].data, 3.0)
    act.expand.bias.data[:4] = 3.0  # a1 = 1 + 2 * (1 - .5) = 2
    assert torch.equal(act(x), torch.tensor([0.0, 6.0]).view(1, 1, 1, 2).expand(1, 4, 1, 2))


def test_one_level_needs_no_neighbors():
    block = DyConv(channels=8, norm_groups=2).eval()
    (out,) = block(maps()[:1])
    assert out.shape == (2, 8, 6, 5)


def test_drop_block_scales_what_is_left():
    x = torch.ones(1, 2, 4, 4)
    uniform = torch.ones(1, 4, 4)
    uniform[0, 0, 0] = 0.0
    out = drop_block(x, uniform, 0.3, 3)
    assert (out[0, :, :2, :2] == 0).all() and out[0, 0, 2, 2] == pytest.approx(16 / 12)
    assert (drop_block(x, uniform * 0, 0.3, 3) == 0).all()  # nothing left: no division by 0


def test_drop_block_runs_in_training_only_and_not_on_the_coarsest():
    torch.manual_seed(0)
    settings = dict(in_channels=[4, 4, 4], out_channels=4, num_outs=5, add_extra_convs='on_output')
    pyramid = DropBlockFPN(**settings, drop_prob=0.9)
    x = maps(channels=4)
    first, second = pyramid.eval()(x), pyramid(x)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    third = pyramid.train()(x)
    assert [torch.equal(a, b) for a, b in zip(first, third, strict=True)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    with pytest.raises(ValueError, match='block_size'):
        DropBlockFPN(**settings, block_size=2)


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: neck(fusion=dict(kind='SCAN')), 'MHA-S and FILM'),
        (lambda: neck(text_layer=dict(kind='gpt')), 'bert, clip'),
        (lambda: neck(text_dim=None), 'text_dim'),
        (lambda: BertFusionLayer(dim=10, num_heads=3), '3 heads'),
        (lambda: build_text_layer('', 8), 'text_layer'),
    ],
)
def test_bad_settings_say_what_is_allowed(make, words):
    with pytest.raises(ValueError, match=words):
        make()
