"""The image encoder: sizes, positions, layouts, what is asked of the configuration."""

import pytest
import torch
from safetensors.torch import load_file

from mmclip.models.group_vit.encoder import GroupViTBackbone, fourier_table

SMALL = dict(img_size=32, patch_size=8, embed_dim=16, drop_path_rate=0.0)
TWO = dict(depths=[1, 1, 1], num_heads=[2, 2, 2], num_group_tokens=[6, 3, 0])
TWO |= dict(num_output_groups=[5, 2])


def test_the_paper_model_has_its_number_of_weights():
    with torch.device('meta'):
        model = GroupViTBackbone()
    assert sum(p.numel() for p in model.parameters()) == 28_837_136
    rates = [getattr(b.drop_path1, 'drop_prob', 0.0) for s in model.stages for b in s.blocks]
    assert rates == pytest.approx([0.1 * i / 11 for i in range(12)])


@pytest.mark.parametrize('size', [(32, 32), (40, 56), (17, 71), (8, 8)])
def test_shapes(size):
    result = GroupViTBackbone(**SMALL, **TWO).eval()(torch.randn(2, 3, *size))
    rows, columns = size[0] // 8, size[1] // 8
    assert result.grid == (rows, columns) and result.size == size
    assert [tuple(m.shape) for m in result.hard] == [(2, 5, rows * columns), (2, 2, 5)]
    assert [tuple(m.shape) for m in result.soft] == [(2, 5, rows * columns), (2, 2, 5)]
    assert result.tokens.shape == (2, 2, 16)
    torch.testing.assert_close(result.pooled, result.tokens.mean(1))
    assert all(torch.equal(m.sum(1), torch.ones_like(m[:, 0])) for m in result.hard)


def test_one_stage_no_stage_and_wider_stages():
    images = torch.randn(1, 3, 32, 32)
    one = GroupViTBackbone(
        **SMALL, depths=[1, 0], num_heads=[2, 2], num_group_tokens=[4, 0], num_output_groups=[4]
    )
    assert one.eval()(images).tokens.shape == (1, 4, 16)
    plain = GroupViTBackbone(
        **SMALL, depths=[2], num_heads=[2], num_group_tokens=[0], num_output_groups=[]
    )
    result = plain.eval()(images)
    assert result.tokens.shape == (1, 16, 16) and result.soft == []
    wide = GroupViTBackbone(**SMALL, **TWO, embed_factors=[1, 2, 2])
    assert wide.eval()(images).tokens.shape == (1, 2, 32) and wide.embed_dim == 32


def test_second_stage_tokens_start_at_zero_beside_their_projector():
    model = GroupViTBackbone(**SMALL, **TWO)
    assert model.stages[0].group_token.std() > 0.01
    assert model.stages[1].group_token.abs().max() == 0


def test_position_embedding_is_resized_unless_the_grid_is_that_of_training():
    model = GroupViTBackbone(**SMALL, **TWO)
    assert model.position((4, 4)) is model.pos_embed
    assert model.position((2, 8)).shape == (1, 16, 16)
    assert not torch.equal(model.position((2, 8)), model.pos_embed)  # as many patches, other grid
    with torch.no_grad():
        model.pos_embed[:] = 3.0
    torch.testing.assert_close(model.position((3, 9)), torch.full((1, 27, 16), 3.0))


def test_fourier_table():
    table = fourier_table(2, 3, 8)[0].view(2, 3, 8)
    # At row 1, column 2 with two frequencies, 1 and 1/100: sin and cos of the row, of the column.
    phases = torch.tensor([1.0, 0.01, 2.0, 0.02])
    expected = torch.cat([phases[:2].sin(), phases[:2].cos(), phases[2:].sin(), phases[2:].cos()])
    torch.testing.assert_close(table[1, 2], expected)
    model = GroupViTBackbone(**SMALL, **TWO, pos_embed_type='fourier')
    assert not model.pos_embed.requires_grad
    torch.testing.assert_close(model.pos_embed, fourier_table(4, 4, 16))


def test_fourier_table_is_the_official_one(larger_oracles):
    path = larger_oracles / 'group_vit' / 'image_encoder_widening_fourier.safetensors'
    official = load_file(path)['state/pos_embed']
    torch.testing.assert_close(fourier_table(4, 4, official.shape[2]), official)


def test_an_empty_batch_has_a_gradient():
    model = GroupViTBackbone(**SMALL, **TWO).train()
    model(torch.zeros(0, 3, 32, 32)).pooled.sum().backward()
    assert model.pos_embed.grad.abs().max() == 0


def test_every_weight_gets_a_gradient():
    torch.manual_seed(0)
    model = GroupViTBackbone(**SMALL, **TWO).train()
    pooled = model(torch.randn(4, 3, 32, 32)).pooled
    (pooled * torch.randn_like(pooled)).sum().backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None]
    assert dead == []


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(img_size=30), 'img_size: 30 is no multiple'),
        (dict(depths=[1, 1]), 'depths'),
        (dict(num_output_groups=[5]), 'num_output_groups'),
        (dict(num_group_tokens=[0, 3, 0]), 'come first'),
        (dict(embed_factors=[1]), 'embed_factors'),
        (dict(pos_embed_type='learned'), "pos_embed_type: 'learned'"),
    ],
)
def test_bad_configuration(changes, message):
    with pytest.raises(ValueError, match=message):
        GroupViTBackbone(**{**SMALL, **TWO, **changes})


def test_bad_images():
    model = GroupViTBackbone(**SMALL, **TWO)
    with pytest.raises(ValueError, match='smaller than a patch of 8'):
        model.eval()(torch.zeros(1, 3, 5, 40))
    with pytest.raises(ValueError, match='training takes 32 x 32'):
        model.train()(torch.zeros(1, 3, 40, 40))
