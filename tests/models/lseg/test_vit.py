"""DPTViT: taps, position embeddings, where it starts, what it refuses."""

import pytest
import timm
import torch

from mmclip.models.lseg.vit import DPTViT
from mmclip.models.lseg.vit_weights import from_clip, from_timm

SMALL = dict(img_size=32, patch_size=8, embed_dim=16, depth=4, num_heads=2)


def make(model=SMALL, out_indices=(0, 1, 2, 3), **kwargs):
    torch.manual_seed(0)
    return DPTViT(model=model, out_indices=out_indices, **kwargs)


def test_taps_are_the_raw_outputs_of_the_blocks():
    vit = make(out_indices=(1, 3))
    image = torch.randn(2, 3, 32, 32)
    taps = vit(image)
    tokens = vit.vit.patch_embed.proj(image).flatten(2).transpose(1, 2)
    x = torch.cat([vit.vit.cls_token.expand(2, -1, -1), tokens], 1) + vit.vit.pos_embed
    for index, block in enumerate(vit.vit.blocks):
        x = block(x)
        if index in (1, 3):
            patches, special = taps[(1, 3).index(index)]
            torch.testing.assert_close(patches.flatten(2).transpose(1, 2), x[:, 1:])
            torch.testing.assert_close(special, x[:, :1])


def test_final_norm_and_blocks_behind_the_last_tap_are_not_built():
    vit = make(out_indices=(0, 2))
    assert len(vit.vit.blocks) == 3
    assert not any(name.startswith(('vit.norm.', 'vit.head')) for name in vit.state_dict())


def test_other_image_sizes_resize_the_position_embedding_bilinearly():
    vit = make()
    tokens, size = vit.embed(torch.zeros(1, 3, 16, 48))
    assert size == (2, 6) and tokens.shape == (1, 13, 16)
    grid = vit.vit.pos_embed[0, 1:].T.reshape(1, 16, 4, 4)
    expected = torch.nn.functional.interpolate(grid, size=(2, 6), mode='bilinear')
    bias = vit.vit.patch_embed.proj.bias
    torch.testing.assert_close(tokens[0, 1:] - bias, expected[0].flatten(1).T)


@pytest.mark.parametrize('size', [(4, 32), (32, 36)])
def test_image_that_is_no_multiple_of_the_patch(size):
    with pytest.raises(ValueError, match=f'images: {size[0]} x {size[1]}.*size_divisor'):
        make()(torch.zeros(1, 3, *size))


def test_checkpointing_changes_no_gradient():
    image = torch.randn(1, 3, 32, 32)
    gradients = []
    for with_cp in (False, True):
        vit = make(with_cp=with_cp)
        sum(p.square().sum() + s.sum() for p, s in vit(image)).backward()
        gradients.append([p.grad for p in vit.parameters()])
    assert len(gradients[0]) > 40
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_distilled_vits_have_two_special_tokens():
    vit = make(model='deit_tiny_distilled_patch16_224', out_indices=(2,))
    patches, special = vit(torch.zeros(1, 3, 32, 64))[0]
    assert special.shape == (1, 2, 192) and patches.shape == (1, 192, 2, 4)


def test_timm_weights_fit_whatever_the_grid_and_the_depth():
    source = timm.create_model('vit_tiny_patch16_224', num_classes=5)
    vit = make(model='vit_tiny_patch16_384', out_indices=(2, 5))
    state = from_timm(source.state_dict(), vit.vit, 'source')
    vit.vit.load_state_dict(state)
    assert torch.equal(vit.vit.blocks[5].mlp.fc1.weight, source.blocks[5].mlp.fc1.weight)
    assert vit.vit.pos_embed.shape == (1, 24 * 24 + 1, 192)
    assert torch.equal(vit.vit.pos_embed[:, 0], source.pos_embed[:, 0])
    with pytest.raises(ValueError, match='does not fit the ViT: missing .*blocks.0'):
        from_timm({'cls_token': torch.zeros(1, 1, 192)}, vit.vit, 'source')


def test_start_from_clip_takes_blocks_and_leaves_positions():
    from mmclip.clip.loading import build_clip

    config = dict(
        embed_dim=8,
        vision_cfg=dict(layers=4, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=dict(context_length=8, vocab_size=16, width=8, heads=1, layers=1),
    )
    visual = build_clip(config).visual
    vit = make()
    positions = vit.vit.pos_embed.clone()
    vit.vit.load_state_dict(from_clip(visual.state_dict(), vit.vit))
    x = torch.randn(2, 5, 16)
    for ours, theirs in zip(vit.vit.blocks, visual.transformer.resblocks, strict=True):
        torch.testing.assert_close(ours(x), theirs(x))
    assert torch.equal(vit.vit.cls_token[0, 0], visual.class_embedding)
    assert torch.equal(vit.vit.pos_embed, positions)
    assert (vit.vit.patch_embed.proj.bias == 0).all()


def test_init_weights_starts_from_a_clip_and_not_after_a_checkpoint():
    tiny = dict(
        embed_dim=8,
        vision_cfg=dict(layers=4, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=dict(context_length=8, vocab_size=16, width=8, heads=1, layers=1),
    )
    vit = make(pretrained=dict(model=tiny, pretrained=None))
    before = {k: v.clone() for k, v in vit.state_dict().items()}
    vit.load_state_dict(before)
    vit.init_weights()
    assert torch.equal(vit.vit.cls_token, before['vit.cls_token']), 'a checkpoint was overwritten'
    fresh = make(pretrained=dict(model=tiny, pretrained=None))
    fresh.init_weights()
    assert not torch.equal(fresh.vit.cls_token, before['vit.cls_token'])


def test_frozen_encoder_trains_nothing_and_stays_in_evaluation():
    vit = make(frozen=True)
    vit.train()
    assert not vit.vit.training and not any(p.requires_grad for p in vit.parameters())


@pytest.mark.parametrize('indices', [(), (0, 4), (-1,)])
def test_taps_out_of_range(indices):
    with pytest.raises(ValueError, match='out_indices: .* blocks 0 to 3'):
        make(out_indices=indices)


def test_bad_names():
    with pytest.raises(ValueError, match='position_mode'):
        make(position_mode='nearest')
    with pytest.raises(ValueError, match='no plain ViT'):
        make(model='resnet18', out_indices=(0,))
    vit = make(pretrained='timm')
    with pytest.raises(ValueError, match="pretrained: 'timm'"):
        vit.init_weights()
    vit = make(pretrained='/nowhere/vit.pth')
    with pytest.raises(FileNotFoundError, match='vit.pth'):
        vit.init_weights()


def test_settings_of_timm_are_read_or_refused():
    vit = make(model=dict(SMALL, pos_drop_rate=0.5, embed_norm_layer=torch.nn.LayerNorm))
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(vit.embed(image)[0], vit.eval().embed(image)[0])
    tokens = vit.embed(image)[0][:, 1:] - vit.vit.pos_embed[:, 1:]
    torch.testing.assert_close(tokens, vit.vit.patch_embed(image))
    unread = [('reg_tokens', 1), ('reg_tokens', 4), ('no_embed_class', True)]
    for name, value in [*unread, ('patch_drop_rate', 0.5)]:
        with pytest.raises(ValueError, match=f'model: .* has {name}'):
            make(model={**SMALL, name: value})
    with pytest.raises(ValueError, match='no plain ViT'):
        make(model=dict(SMALL, pos_embed='none'))
