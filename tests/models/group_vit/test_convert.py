"""Checkpoints: official ones with what else they hold, and transformers' class itself."""

import pickle
import sys
import types

import pytest
import torch
from transformers import GroupViTConfig, GroupViTModel

from mmclip.io.checkpoint import read_state_dict
from mmclip.models.group_vit.convert import convert, from_hugging_face, new_name

TEXT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=1, intermediate_size=64)
TEXT |= dict(vocab_size=49408, max_position_embeddings=16, eos_token_id=49407)
VISION = dict(image_size=32, patch_size=8, hidden_size=16, num_attention_heads=2, depths=[2, 1, 1])
VISION |= dict(num_group_tokens=[6, 3, 0], num_output_groups=[6, 3, 0], intermediate_size=64)


@pytest.fixture(scope='module')
def reference() -> GroupViTModel:
    """transformers' model with random weights, large enough that groups differ."""
    torch.manual_seed(0)
    config = GroupViTConfig(
        text_config=TEXT,
        vision_config=VISION,
        projection_dim=8,
        projection_intermediate_dim=24,
    )
    model = GroupViTModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def ours(build, reference):
    model = build(
        backbone=dict(depths=[2, 1, 1]),
        decode_head=dict(text=dict(width=16, layers=2, context_length=16), multi_label=0),
    )
    model.load_state_dict(convert(reference.state_dict()))
    return model


@torch.no_grad()
def test_a_second_scale_that_transformers_does_not_have_is_the_first(build, reference):
    model = build(
        backbone=dict(depths=[2, 1, 1]),
        decode_head=dict(text=dict(width=16, layers=2, context_length=16), multi_label=3),
    )
    model.load_state_dict(convert(reference.state_dict()))
    head = model.decode_head
    assert torch.equal(head.multi_label_logit_scale, head.logit_scale)


def test_same_features_as_transformers(ours, reference):
    images = torch.randn(3, 3, 32, 32)
    theirs = reference.vision_model(images, output_attentions=True)
    grouping = ours.extract_feat(images)
    torch.testing.assert_close(grouping.tokens, theirs.last_hidden_state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grouping.pooled, theirs.pooler_output, rtol=1e-5, atol=1e-5)
    assert len({int(row.argmax()) for row in grouping.hard[0][0].T}) > 1

    head = ours.decode_head
    ids = head.tokenize(['a cat', 'two dogs on a mat', 'x'])
    theirs = reference(input_ids=ids, pixel_values=images)
    normed = torch.nn.functional.normalize
    torch.testing.assert_close(normed(head.encode_tokens(ids), dim=1), theirs.text_embeds)
    torch.testing.assert_close(
        normed(head.image_projector(grouping.pooled), dim=1), theirs.image_embeds
    )


def test_every_weight_of_transformers_is_used(reference):
    state = reference.state_dict()
    numbers = sum(v.numel() for k, v in state.items() if 'position_ids' not in k)
    assert sum(v.numel() for v in convert(state).values()) == numbers


def test_queries_keys_and_values_must_all_be_there(reference):
    state = dict(reference.state_dict())
    del state['vision_model.encoder.stages.0.layers.1.self_attn.k_proj.weight']
    with pytest.raises(ValueError, match=r"blocks\.1\.attn has only \['q', 'v'\]"):
        from_hugging_face(state)


def test_official_file_with_omegaconf_objects(tmp_path, build, monkeypatch):
    """A checkpoint as the official code saves it: its config is an object of another package."""
    model = build()
    official = {}
    names = {new_name(name): name for name in _official_names(model)}
    for name, value in model.state_dict().items():
        value = value[:, :, None] if '_projector.fc' in name and value.ndim == 2 else value
        official[names[name]] = value
    package = types.ModuleType('omegaconf')
    package.DictConfig = type('DictConfig', (), {'__module__': 'omegaconf'})
    package.DictConfig.__qualname__ = 'DictConfig'
    monkeypatch.setitem(sys.modules, 'omegaconf', package)
    path = tmp_path / 'group_vit.pth'
    content = dict(
        model=official, optimizer={}, epoch=29, metrics={}, config=package.DictConfig(), amp={}
    )
    torch.save(content, path, pickle_module=pickle)
    monkeypatch.delitem(sys.modules, 'omegaconf')

    converted = convert(read_state_dict(path))
    own = model.state_dict()
    assert converted.keys() == own.keys()
    assert all(torch.equal(converted[name], own[name]) for name in own)


def _official_names(model) -> list[str]:
    """Official names of a model's weights, written down from the official layout."""
    names = []
    for name in model.state_dict():
        name = name.replace('decode_head.text_tower.', 'text_encoder.')
        name = name.replace('backbone.stages.', 'img_encoder.layers.')
        name = name.replace('backbone.patch_embed.projection', 'img_encoder.patch_embed.proj')
        name = name.replace('backbone.', 'img_encoder.').replace('decode_head.', '')
        name = name.replace('image_projector', 'img_projector')
        for new, old in (
            ('_projector.fc1', '_projector.linear_hidden.0'),
            ('_projector.bn', '_projector.linear_hidden.1'),
            ('_projector.fc2', '_projector.linear_out'),
            ('group_projector.norm', 'group_projector.0'),
            ('group_projector.mixer', 'group_projector.1'),
            ('grouping.mixer', 'grouping.mlp_inter'),
            ('grouping.mlp', 'grouping.mlp_channels'),
            ('mlp_channels_inter', 'mlp_inter'),
            ('grouping.cross', 'grouping.pre_assign_attn'),
            ('grouping.', 'downsample.'),
        ):
            name = name.replace(new, old)
        names.append(name)
    return names


def test_what_is_no_group_vit():
    with pytest.raises(ValueError, match=r'img_encoder\.pos_embed is missing'):
        convert({'visual.proj': torch.zeros(2, 2)})
    with pytest.raises(ValueError, match=r"'img_encoder\.head' is no weight"):
        convert({'img_encoder.pos_embed': torch.zeros(1, 4, 2), 'img_encoder.head': torch.zeros(2)})
