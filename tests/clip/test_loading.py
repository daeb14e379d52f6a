"""Weights by tag, file and folder, in each layout; activation and sizes read off them."""

import json
import warnings

import open_clip
import pytest
import safetensors.torch
import torch
import transformers
from torch import nn

from mmclip.clip.config import clip_config_of, clip_config_of_hugging_face
from mmclip.clip.layouts import to_open_clip
from mmclip.clip.loading import (
    build_clip,
    build_image_tower,
    clip_config,
    clip_embed_dim,
    clip_preprocess,
    clip_tokenizer,
    load_image_tower,
    state_hash,
)

VIT = dict(
    embed_dim=24,
    vision_cfg=dict(layers=2, width=32, head_width=16, patch_size=8, image_size=32),
    text_cfg=dict(context_length=14, vocab_size=64, width=48, heads=3, layers=2),
)
RESNET = dict(VIT, vision_cfg=dict(layers=[1, 2, 1, 1], width=8, head_width=64, image_size=64))
QUICK = dict(VIT, quick_gelu=True)


def inputs(config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    size = config['vision_cfg']['image_size']
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, size, size, generator=generator)
    ids = torch.randint(1, 60, (3, 14), generator=generator)
    ids[:, 9] = 63
    return images, ids


@torch.no_grad()
def features(clip: nn.Module, config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    images, ids = inputs(config)
    return clip.encode_image(images), clip.encode_text(ids)


def random_clip(config: dict) -> nn.Module:
    torch.manual_seed(3)
    return build_clip(config)


def save_openai_archive(clip: nn.Module, config: dict, path) -> None:
    """A TorchScript archive with the three integers, half precision, as OpenAI's."""
    size = config['vision_cfg']['image_size']
    for name, value in (('input_resolution', size), ('context_length', 14), ('vocab_size', 64)):
        if hasattr(clip, name):
            delattr(clip, name)
        clip.register_buffer(name, torch.tensor(value))
    clip.context_length = torch.tensor(14)
    images, ids = inputs(config)
    warnings.simplefilter('ignore')  # of the tracer
    traced = torch.jit.trace_module(
        clip, dict(encode_image=images, encode_text=ids), check_trace=False
    )
    traced.save(path)


# -- architectures --------------------------------------------------------------------------------


def test_architecture_by_name_dict_and_file(tmp_path):
    assert clip_embed_dim('ViT-L-14') == 768 and clip_embed_dim('mini_clip') == 128
    assert clip_embed_dim('mini_clip_styles') == 128
    assert clip_config(VIT) == VIT and clip_config(VIT) is not VIT
    path = tmp_path / 'own.json'
    path.write_text(json.dumps(VIT))
    assert clip_config(str(path)) == VIT
    path.write_text(json.dumps(dict(model_cfg=VIT, preprocess_cfg={})))
    assert clip_config(str(path)) == VIT


def test_an_unknown_name_lists_close_ones():
    with pytest.raises(ValueError, match='ViT-B-32'):
        clip_config('ViT-B32')
    with pytest.raises(ValueError, match='close names: mini_clip_styles, mini_clip'):
        clip_config('mini_clip_style')
    with pytest.raises(FileNotFoundError, match='own.json'):
        clip_config('nowhere/own.json')


@pytest.mark.parametrize('config', [VIT, RESNET], ids=['vit', 'resnet'])
def test_architecture_is_read_off_the_weights(config):
    clip = random_clip(config)
    heads = 256 // 64 if config is RESNET else 2
    found = clip_config_of(clip.state_dict(), vision_heads=heads, text_heads=3, quick_gelu=False)
    same = build_clip(found)
    same.load_state_dict(clip.state_dict())
    for ours, expected in zip(features(same, config), features(clip, config), strict=True):
        assert torch.equal(ours, expected)


def test_heads_default_to_64_channels_and_must_divide():
    state = {
        k: torch.empty(v, device='meta')
        for k, v in {
            'text_projection': (128, 16),
            'positional_embedding': (10, 128),
            'token_embedding.weight': (50, 128),
            'transformer.resblocks.0.mlp.c_fc.weight': (512, 128),
            'visual.conv1.weight': (192, 3, 8, 8),
            'visual.positional_embedding': (17, 192),
            'visual.transformer.resblocks.0.mlp.c_fc.weight': (768, 192),
        }.items()
    }
    found = clip_config_of(state)
    assert found['text_cfg']['heads'] == 2 and found['vision_cfg']['head_width'] == 64
    assert found['vision_cfg']['image_size'] == 32 and found['quick_gelu']
    with pytest.raises(ValueError, match='text_heads: 3 heads do not divide 128'):
        clip_config_of(state, text_heads=3)
    del state['text_projection']
    with pytest.raises(ValueError, match='text_projection missing'):
        clip_config_of(state)


# -- layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize('config', [QUICK, RESNET | dict(quick_gelu=True)], ids=['vit', 'resnet'])
def test_openai_archive_sets_quickgelu_whatever_the_name(config, tmp_path):
    clip = random_clip(config)
    expected = features(clip, config)
    save_openai_archive(clip, config, tmp_path / 'clip.pt')
    plain = {k: v for k, v in config.items() if k != 'quick_gelu'}
    for model in (plain, config):
        loaded = build_clip(model, str(tmp_path / 'clip.pt'))
        assert not loaded.training
        for ours, theirs in zip(features(loaded, config), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_half_precision_weights_become_float32(tmp_path):
    clip = random_clip(VIT).half()
    torch.save(clip.state_dict(), tmp_path / 'half.pt')
    loaded = build_clip(VIT, str(tmp_path / 'half.pt'))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize('wrap', ['state_dict', 'module', 'plain', 'safetensors'])
def test_open_clip_checkpoints(wrap, tmp_path):
    clip = random_clip(VIT)
    state = clip.state_dict()
    path = tmp_path / 'clip.pt'
    if wrap == 'safetensors':
        path = tmp_path / 'clip.safetensors'
        safetensors.torch.save_file(state, path)
    elif wrap == 'plain':
        torch.save(state, path)
    else:
        prefix = 'module.' if wrap == 'module' else ''
        named = {prefix + k: v for k, v in state.items()}
        torch.save(dict(epoch=3, name='run', state_dict=named), path)
    for ours, theirs in zip(
        features(build_clip(VIT, str(path)), VIT), features(clip, VIT), strict=True
    ):
        assert torch.equal(ours, theirs)


def hugging_face(folder, act: str, vision=(), text=()) -> transformers.CLIPModel:
    torch.manual_seed(5)
    common = dict(num_hidden_layers=2, hidden_act=act)
    config = transformers.CLIPConfig(
        text_config=dict(
            common,
            hidden_size=48,
            intermediate_size=96,
            num_attention_heads=3,
            vocab_size=64,
            max_position_embeddings=14,
            eos_token_id=63,
            bos_token_id=62,
            pad_token_id=0,
        )
        | dict(text),
        vision_config=dict(
            common,
            hidden_size=32,
            intermediate_size=160,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        )
        | dict(vision),
        projection_dim=24,
    )
    model = transformers.CLIPModel(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, parameter.detach().mean().item(), 0.1)
    model.save_pretrained(folder)
    return model


def assert_same_features(ours: nn.Module, theirs: transformers.CLIPModel) -> None:
    images, ids = inputs(VIT)
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=images)
        pairs = (
            (ours.encode_image(images, normalize=True), out.image_embeds),
            (ours.encode_text(ids, normalize=True), out.text_embeds),
        )
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('act', ['quick_gelu', 'gelu'])
def test_hugging_face_folder(act, tmp_path):
    model = hugging_face(tmp_path, act)
    config = clip_config_of_hugging_face(json.loads((tmp_path / 'config.json').read_text()))
    assert config['quick_gelu'] is (act == 'quick_gelu')
    assert 'norm_kwargs' not in config['vision_cfg'] | config['text_cfg']
    # The folder knows its activation even where the architecture dict does not.
    plain = {k: v for k, v in config.items() if k != 'quick_gelu'}
    for architecture in (config, plain):
        assert_same_features(build_clip(architecture, str(tmp_path)), model)


def test_hugging_face_epsilon_of_layer_norms(tmp_path):
    model = hugging_face(
        tmp_path, 'gelu', vision=dict(layer_norm_eps=1e-2), text=dict(layer_norm_eps=3e-2)
    )
    config = clip_config_of_hugging_face(json.loads((tmp_path / 'config.json').read_text()))
    assert_same_features(build_clip(config, str(tmp_path)), model)
    del config['text_cfg']['norm_kwargs']
    with pytest.raises(ValueError, match=r'config.json has layer_norm_eps=0.03.*text_cfg.norm_kwa'):
        build_clip(config, str(tmp_path))


@pytest.mark.parametrize('vision, text', [('gelu', 'quick_gelu'), ('gelu_new', 'gelu_new')])
def test_hugging_face_activations_that_open_clip_has_not_are_refused(vision, text, tmp_path):
    hugging_face(tmp_path, 'gelu')
    file = tmp_path / 'config.json'
    content = json.loads(file.read_text())
    plain = clip_config_of_hugging_face(content)
    content['vision_config']['hidden_act'] = vision
    content['text_config']['hidden_act'] = text
    told = f"hidden_act: '{vision}' in vision_config and '{text}' in text_config"
    with pytest.raises(ValueError, match=told):
        clip_config_of_hugging_face(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='config.json: ' + told):
        build_clip(plain, str(tmp_path))


def test_hugging_face_gelu_is_not_put_into_a_quick_gelu_model(tmp_path):
    hugging_face(tmp_path, 'gelu')
    config = clip_config_of_hugging_face(json.loads((tmp_path / 'config.json').read_text()))
    with pytest.raises(ValueError, match="config.json has hidden_act='gelu', the model quick_gelu"):
        build_clip({**config, 'quick_gelu': True}, str(tmp_path))


def test_hugging_face_end_token_2_means_the_highest_id():
    assert (
        'pool_type'
        not in clip_config_of_hugging_face(dict(text_config=dict(eos_token_id=2)))['text_cfg']
    )


def test_unknown_or_incomplete_hugging_face_keys():
    with pytest.raises(ValueError, match='vision_model.head.probe'):
        to_open_clip({'vision_model.head.probe': torch.zeros(1)})
    name = 'vision_model.encoder.layers.0.self_attn.q_proj.weight'
    with pytest.raises(ValueError, match='layers.0.self_attn.*k_proj, v_proj'):
        to_open_clip({name: torch.zeros(4, 4)})


# -- what does not fit ----------------------------------------------------------------------------


def test_weights_that_do_not_fit_are_named(tmp_path):
    state = random_clip(VIT).state_dict()
    state['visual.extra'] = torch.zeros(1)
    state['visual.proj'] = torch.zeros(3, 3)
    del state['logit_scale']
    torch.save(state, tmp_path / 'other.pt')
    with pytest.raises(ValueError, match=r'logit_scale.*visual\.extra.*visual\.proj'):
        build_clip(VIT, str(tmp_path / 'other.pt'))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(logit_scale=None), r"missing \['logit_scale'\].*\(1, 0 and 0 in all\)"),
        ({'visual.extra': 1}, r"left over \['visual\.extra'\].*\(0, 1 and 0 in all\)"),
        ({'visual.proj': 3}, r"other shapes \['visual\.proj'\] \(0, 0 and 1 in all\)"),
    ],
)
def test_one_weight_that_does_not_fit_is_enough(change, message, tmp_path):
    state = random_clip(VIT).state_dict()
    for name, size in change.items():
        state.pop(name, None)
        if size is not None:
            state[name] = torch.zeros(size, size)
    torch.save(state, tmp_path / 'other.pt')
    with pytest.raises(ValueError, match=rf'other\.pt does not fit.*{message}'):
        build_clip(VIT, str(tmp_path / 'other.pt'))


def test_cut_off_file(tmp_path):
    path = tmp_path / 'cut.safetensors'
    safetensors.torch.save_file(random_clip(VIT).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='cut.safetensors'):
        build_clip(VIT, str(path))


def test_names_that_are_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match='laion2b_s34b_b79k'):
        build_clip('ViT-B-32', 'laion')
    with pytest.raises(FileNotFoundError, match='open_clip_model.safetensors'):
        build_clip(VIT, str(tmp_path))


# -- image towers, transforms, tokenizers ---------------------------------------------------------


def test_image_tower_alone(tmp_path):
    clip = random_clip(QUICK)
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    tower = build_image_tower(QUICK)
    load_image_tower(tower, QUICK, str(tmp_path / 'clip.pt'))
    images, _ = inputs(QUICK)
    with torch.no_grad():
        assert torch.equal(tower(images), clip.encode_image(images))


def test_a_tower_of_another_activation_is_refused(tmp_path):
    save_openai_archive(random_clip(QUICK), QUICK, tmp_path / 'clip.pt')
    with pytest.raises(ValueError, match='quickgelu'):
        load_image_tower(build_image_tower(VIT), VIT, str(tmp_path / 'clip.pt'))


def test_a_tag_tells_the_activation_before_any_weight_is_read():
    plain = build_image_tower('ViT-B-32')
    openai = build_image_tower('ViT-B-32', 'openai')
    kind = open_clip.transformer.QuickGELU
    assert not any(isinstance(m, kind) for m in plain.modules())
    assert sum(isinstance(m, kind) for m in openai.modules()) == 12


def test_transforms_of_models(tmp_path):
    openai = clip_preprocess('ViT-L-14-336-quickgelu', 'openai')
    assert openai['size'] == 336 and openai['mean'] == open_clip.OPENAI_DATASET_MEAN
    assert openai['resize_mode'] == 'shortest' and openai['interpolation'] == 'bicubic'
    siglip = clip_preprocess('ViT-B-16-SigLIP', 'webli')
    assert siglip['mean'] == (0.5, 0.5, 0.5) and siglip['resize_mode'] == 'squash'
    row = dict(model_cfg=VIT, preprocess_cfg=dict(mean=[0, 0, 0], std=[1, 1, 1]))
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(row))
    assert clip_preprocess(VIT, str(tmp_path))['std'] == (1, 1, 1)


def test_tokenizer_has_the_models_context_length():
    assert clip_tokenizer(VIT)(['a cat', 'a dog']).shape == (2, 14)
    assert clip_tokenizer('ViT-B-32')(['a cat']).shape == (1, 77)


def test_hash_tells_values_names_and_types_apart():
    value = torch.arange(4.0)
    hashes = {
        state_hash({'a': value}),
        state_hash({'b': value}),
        state_hash({'a': value + 1}),
        state_hash({'a': value.half()}),
        state_hash({'a': value.reshape(2, 2)}),
    }
    assert len(hashes) == 5
    assert state_hash({'a': value, 'b': value}) == state_hash({'b': value, 'a': value.clone()})
