"""Image towers as backbones: sizes, dense features, frozen parts, weights when initialized."""

import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip import dense_features
from mmclip.clip.backbones import OpenCLIPBackbone
from mmclip.clip.loading import build_clip
from mmclip.registry import MODELS

TEXT = dict(context_length=10, vocab_size=64, width=32, heads=2, layers=1)
VIT = dict(
    embed_dim=24,
    vision_cfg=dict(layers=3, width=32, head_width=16, patch_size=8, image_size=32),
    text_cfg=TEXT,
)
RESNET = dict(
    embed_dim=24,
    vision_cfg=dict(layers=[1, 1, 1, 1], width=8, head_width=64, image_size=64),
    text_cfg=TEXT,
)
COCA_VIT = dict(VIT, vision_cfg=dict(VIT['vision_cfg'], attentional_pool=True, attn_pooler_heads=2))
TOWERS = {'vit': VIT, 'resnet': RESNET, 'timm': 'mini_clip'}
SIZES = {'vit': 32, 'resnet': 64, 'timm': 48}


def build(kind: str, **options) -> OpenCLIPBackbone:
    torch.manual_seed(0)
    backbone = OpenCLIPBackbone(model=TOWERS[kind], **options).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return backbone


def random_images(size: int | tuple[int, int], batch: int = 2) -> torch.Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('kind', TOWERS)
def test_pooled_is_the_towers_own(kind):
    backbone = build(kind)
    images = random_images(SIZES[kind])
    torch.testing.assert_close(
        backbone.pooled(images), backbone.visual(images), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize('kind', TOWERS)
@pytest.mark.parametrize('size', [(64, 96), (96, 64), (70, 101)])
def test_any_size(kind, size):
    backbone = build(kind)
    images = random_images(size)
    assert backbone.pooled(images).shape == (2, backbone.embed_dim)
    (last,) = backbone(images)
    stride = {'vit': 8, 'resnet': 32, 'timm': 32}[kind]
    if kind == 'timm':
        assert last.shape[2:] == (-(-size[0] // stride), -(-size[1] // stride))
    else:
        assert last.shape[2:] == (size[0] // stride, size[1] // stride)


@pytest.mark.parametrize('kind', TOWERS)
def test_empty_batch_with_backward(kind):
    backbone = build(kind, frozen=False)
    out = backbone.pooled(random_images(SIZES[kind], batch=0))
    assert out.shape == (0, backbone.embed_dim)
    out.sum().backward()
    gradients = [p.grad for p in backbone.parameters() if p.grad is not None]
    assert gradients and all((g == 0).all() for g in gradients)


def test_vit_intermediates_are_open_clips():
    backbone = build('vit', out_indices=(2, 0, -1))
    images = random_images(32)
    theirs = backbone.visual.forward_intermediates(images, intermediates_only=True)
    theirs = theirs['image_intermediates']
    for ours, index in zip(backbone(images), (2, 0, 2), strict=True):
        torch.testing.assert_close(ours, theirs[index], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', ['resnet', 'timm'])
def test_stages_in_the_order_asked_for(kind):
    backbone = build(kind, out_indices=(4, 1, 2))
    theirs = backbone.visual.forward_intermediates(
        random_images(SIZES[kind]), intermediates_only=True
    )['image_intermediates']
    ours = backbone(random_images(SIZES[kind]))
    assert len(ours) == 3
    for mine, index in zip(ours, (4, 1, 2), strict=True):
        assert torch.equal(mine, theirs[index])


def test_patch_tokens_average_of_a_timm_tower_is_its_pooled_feature():
    backbone = build('timm', dense='tokens')
    images = random_images((64, 96))
    dense = backbone(images)[-1]
    assert dense.shape == (2, 128, 2, 3)
    torch.testing.assert_close(dense.mean((2, 3)), backbone.pooled(images), atol=1e-5, rtol=1e-5)


def test_projected_tokens_of_a_vit():
    backbone = build('vit', dense='tokens')
    images = random_images(32)
    states = backbone.tokens(images)
    # Close, not equal: a product of one row may be summed in another order than that of all.
    torch.testing.assert_close(backbone.project(states[-1])[:, 0], backbone.pooled(images))
    dense = backbone.dense_features(images)
    assert dense.shape == (2, 24, 4, 4)
    torch.testing.assert_close(dense[0, :, 1, 2], backbone.project(states[-1])[0, 1 + 1 * 4 + 2])


def test_maskclip_positions_do_not_see_each_other():
    """With one block, changing a patch changes its own dense feature only."""
    config = dict(VIT, vision_cfg=dict(VIT['vision_cfg'], layers=1))
    for residual in (True, False):
        backbone = OpenCLIPBackbone(
            model=config, dense='maskclip', maskclip_residual=residual
        ).eval()
        images = random_images(32)
        other = images.clone()
        other[:, :, 8:16, 16:24] += 1
        changed = (backbone.dense_features(images) - backbone.dense_features(other)).abs().amax(1)
        expected = torch.zeros(4, 4, dtype=torch.bool)
        expected[1, 2] = True
        assert torch.equal(changed[0] > 1e-6, expected)


def test_maskclip_of_a_constant_value_is_the_attention_itself():
    """Where all tokens are the same, attention is the identity: both ways agree."""
    backbone = build('vit', dense='maskclip')
    block = backbone.visual.transformer.resblocks[-1]
    same = torch.randn(1, 1, 32).expand(2, 17, 32)
    torch.testing.assert_close(dense_features.value_block(block, same), block(same))


@pytest.mark.parametrize('dense', ['attention_pool', 'attention_pool_no_position', 'maskclip'])
def test_dense_resnet(dense):
    backbone = build('resnet', dense=dense, out_indices=(3, 4))
    images = random_images((64, 128))
    maps = backbone(images)
    assert [m.shape[1:] for m in maps] == [(128, 4, 8), (256, 2, 4), (24, 2, 4)]
    assert torch.equal(maps[-1], backbone.dense_features(images))


@pytest.mark.parametrize(
    ('kind', 'dense'), [('vit', 'maskclip'), ('vit', 'tokens'), ('resnet', 'maskclip')]
)
def test_the_dense_map_alone(kind, dense):
    images = random_images(SIZES[kind])
    (alone,) = build(kind, out_indices=(), dense=dense)(images)
    assert torch.equal(alone, build(kind, out_indices=(0,), dense=dense)(images)[1])


def test_mean_query_of_the_attention_pool_is_open_clips():
    backbone = build('resnet')
    features = torch.randn(2, 256, 2, 2)
    torch.testing.assert_close(
        dense_features.attention_pool(backbone.visual.attnpool, features),
        backbone.visual.attnpool(features),
        atol=1e-5,
        rtol=1e-5,
    )


# -- position embeddings --------------------------------------------------------------------------


@pytest.mark.parametrize('mode', dense_features.POSITION_RESIZE)
def test_resize_is_torchs_and_keeps_the_first_row(mode):
    embedding = torch.randn(1 + 20, 6)
    out = dense_features.resize_position_embedding(embedding, (3, 7), old_size=(4, 5), mode=mode)
    assert torch.equal(out[0], embedding[0])
    grid = embedding[1:].reshape(4, 5, 6).permute(2, 0, 1)[None]
    expected = F.interpolate(grid, (3, 7), **dense_features.POSITION_RESIZE[mode])
    torch.testing.assert_close(out[1:], expected[0].permute(1, 2, 0).reshape(21, 6))
    assert dense_features.resize_position_embedding(embedding, (4, 5), old_size=(4, 5)) is embedding


def test_modes_differ_when_shrinking():
    embedding = torch.randn(1 + 64, 4)
    results = [
        dense_features.resize_position_embedding(embedding, (3, 3), mode=mode)
        for mode in dense_features.POSITION_RESIZE
    ]
    for index, first in enumerate(results):
        for second in results[index + 1 :]:
            assert (first - second).abs().max() > 1e-3


def test_default_is_open_clips_resize():
    """At 64 px our ViT equals open_clip's own ViT of 64 px with resized weights."""
    small = build('vit')
    large = build_clip(dict(VIT, vision_cfg=dict(VIT['vision_cfg'], image_size=64)))
    state = {f'visual.{k}': v.clone() for k, v in small.visual.state_dict().items()}
    open_clip.model.resize_pos_embed(state, large)
    large.load_state_dict(state, strict=False)
    images = random_images(64)
    torch.testing.assert_close(
        small.pooled(images), large.encode_image(images), atol=1e-5, rtol=1e-5
    )


# -- freezing, weights, mistakes ------------------------------------------------------------------


def test_frozen_stays_in_eval_mode_under_train():
    backbone = build('resnet', frozen=True)
    backbone.train()
    assert not any(m.training for m in backbone.visual.modules())
    assert not any(p.requires_grad for p in backbone.parameters())
    before = backbone.visual.bn1.running_mean.clone()
    backbone(random_images(64))
    assert torch.equal(backbone.visual.bn1.running_mean, before)


def test_norm_eval_keeps_only_batch_norms_in_eval_mode():
    backbone = build('resnet', frozen=False, norm_eval=True).train()
    assert backbone.visual.training and not backbone.visual.bn1.training
    free = build('resnet', frozen=False).train()
    assert free.visual.bn1.training


def test_weights_come_when_initialized_or_with_a_checkpoint(tmp_path):
    torch.manual_seed(7)
    clip = build_clip(VIT)
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    images = random_images(32)
    expected = clip.encode_image(images)

    backbone = MODELS.build(
        dict(type='mmclip.OpenCLIPBackbone', model=VIT, pretrained=str(tmp_path / 'clip.pt'))
    )
    assert isinstance(backbone, BaseModule) and not backbone.is_filled
    assert (backbone.pooled(images) - expected).abs().max() > 1e-2
    backbone.init_weights()
    assert backbone.is_filled
    torch.testing.assert_close(backbone.pooled(images), expected, atol=1e-5, rtol=1e-5)

    (tmp_path / 'clip.pt').unlink()
    resumed = OpenCLIPBackbone(model=VIT, pretrained=str(tmp_path / 'clip.pt'))
    resumed.load_state_dict(backbone.state_dict())
    resumed.init_weights()  # reads no file: the checkpoint brought the weights
    torch.testing.assert_close(resumed.pooled(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(model=VIT, out_indices=(3,)), 'out_indices'),
        (dict(model=VIT, out_indices=()), 'nothing is asked for'),
        (dict(model=RESNET, out_indices=(0, 5)), 'out_indices'),
        (dict(model=VIT, dense='attention_pool'), 'tokens'),
        (dict(model=RESNET, dense='tokens'), 'maskclip'),
        (dict(model=COCA_VIT, dense='tokens'), 'dense'),
        (dict(model=VIT, position_mode='nearest'), 'bicubic_antialias'),
        (dict(model='ViT-B32'), 'ViT-B-32'),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        OpenCLIPBackbone(**options)


def test_dense_features_need_a_kind():
    with pytest.raises(ValueError, match='maskclip'):
        build('vit').dense_features(random_images(32))
    with pytest.raises(ValueError, match='grid'):
        dense_features.resize_position_embedding(torch.zeros(6, 2), (2, 2))


@pytest.mark.parametrize('mode', dense_features.POSITION_RESIZE)
def test_every_way_of_a_tower_resizes_as_it_is_told(mode, monkeypatch):
    """The embedding that is added, seen where it is resized."""
    asked, resize = [], dense_features.resize_position_embedding

    def seen(*args, **kwargs):
        asked.append(kwargs['mode'])
        return resize(*args, **kwargs)

    monkeypatch.setattr(dense_features, 'resize_position_embedding', seen)
    images = random_images(64)
    for kind in ('vit', 'resnet'):
        backbone = build(kind, position_mode=mode)
        backbone.pooled(random_images(96))
        backbone(images)
    pool = build('resnet').visual.attnpool
    maps = torch.randn(1, 256, 3, 5)
    for every in (False, True):
        dense_features.attention_pool(pool, maps, all_positions=every, position_mode=mode)
    assert len(asked) >= 4 and set(asked) == {mode}
