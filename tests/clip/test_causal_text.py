"""The fast path equals open_clip's own `encode_text`, over one text tower of each kind."""

import json

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.causal_text import encode_causal
from mmclip.clip.causal_tower import causal_tower
from mmclip.clip.loading import build_clip
from mmclip.clip.text_encoder import CLIPTextEncoder

VISION = dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16)
TEXT = dict(context_length=14, vocab_size=64, width=32, heads=2, layers=3)
START, END = 62, 63
PLAIN = dict(embed_dim=24, vision_cfg=VISION, text_cfg=TEXT)

# name -> (config, whether the fast path may be taken); settings as in the model families.
KINDS = {
    'clip': (PLAIN, True),
    'clip_quickgelu': (dict(PLAIN, quick_gelu=True), True),
    'custom_text': (dict(PLAIN, custom_text=True), True),
    'end_id': (
        dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, pool_type='eos', eos_id=END)),
        True,
    ),
    'layer_scale': (dict(PLAIN, text_cfg=dict(TEXT, ls_init_value=0.3)), True),
    'linear_with_bias': (
        dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, proj_bias=True)),
        True,
    ),
    'no_projection': (
        dict(PLAIN, embed_dim=32, custom_text=True, text_cfg=dict(TEXT, proj_type='none')),
        True,
    ),
    # Perception Encoder: 32 positions
    'pe': (dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, context_length=32)), True),
    # SigLIP: sees both sides, reads the last position
    'siglip': (
        dict(
            PLAIN,
            custom_text=True,
            init_logit_bias=-10,
            text_cfg=dict(
                TEXT,
                no_causal_mask=True,
                proj_bias=True,
                pool_type='last',
                norm_kwargs=dict(eps=1e-6),
                act_kwargs=dict(approximate='tanh'),
            ),
        ),
        False,
    ),
    # MobileCLIP2: sees both sides, reads the end token
    'mobileclip2': (
        dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, no_causal_mask=True)),
        False,
    ),
    'last_position': (dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, pool_type='last')), False),
    'custom_blocks': (dict(PLAIN, custom_text=True, text_cfg=dict(TEXT, qk_norm=True)), False),
    # CoCa: a class token behind the text, and a mask for padding
    'coca': (
        dict(
            PLAIN,
            vision_cfg=dict(
                VISION,
                attentional_pool=True,
                attn_pooler_heads=2,
                attn_pooler_queries=4,
                output_tokens=True,
            ),
            text_cfg=dict(TEXT, embed_cls=True, output_tokens=True),
            multimodal_cfg=dict(TEXT, dim_head=16),
            custom_text=True,
        ),
        False,
    ),
}


def sentences(count: int, length: int, generator: int = 0) -> torch.Tensor:
    """(N, T) ids of `count` texts of all lengths behind a common start of three tokens."""
    draw = torch.Generator().manual_seed(generator)
    ids = torch.zeros(count, length, dtype=torch.long)
    for row in range(count):
        words = 3 + row % (length - 4)
        ids[row, 0] = START
        ids[row, 1 : 1 + words] = torch.randint(1, 60, (words,), generator=draw)
        ids[row, 1:3] = torch.tensor([7, 9])
        ids[row, 1 + words] = END
    return ids


def build(config: dict) -> nn.Module:
    torch.manual_seed(0)
    clip = build_clip(config)
    for parameter in clip.parameters():  # norms and biases are trivial at the start
        if parameter.ndim == 1:
            nn.init.normal_(parameter, parameter.detach().mean().item(), 0.2)
    return clip


def encode_text(clip: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return clip.encode_text(ids, normalize=False)


@pytest.mark.parametrize('kind', KINDS)
def test_equals_encode_text(kind, monkeypatch):
    config, fast = KINDS[kind]
    clip = build(config)
    length = config['text_cfg']['context_length']
    groups = [sentences(17, length, seed) for seed in range(3)]
    encoder = CLIPTextEncoder(model=config)
    monkeypatch.setattr(CLIPTextEncoder, 'clip', clip)
    assert (causal_tower(clip) is not None) is fast
    for ids, features in zip(groups, encoder.encode_tokens(groups), strict=True):
        torch.testing.assert_close(features, encode_text(clip, ids), atol=1e-5, rtol=1e-5)


def test_equals_encode_text_of_a_hugging_face_tower(tmp_path, monkeypatch):
    """Built from a local config: no download."""
    config = dict(
        model_type='bert',
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=20,
        pad_token_id=0,
    )
    (tmp_path / 'config.json').write_text(json.dumps(config))
    text = dict(hf_model_name=str(tmp_path), hf_proj_type='mlp', hf_pooler_type='mean_pooler')
    model = dict(embed_dim=24, vision_cfg=VISION, text_cfg=text)
    clip = build(model)
    assert isinstance(clip, open_clip.CustomTextCLIP)
    assert causal_tower(clip) is None
    monkeypatch.setattr(CLIPTextEncoder, 'clip', clip)
    ids = sentences(5, 14)
    (features,) = CLIPTextEncoder(model=model).encode_tokens([ids])
    torch.testing.assert_close(features, encode_text(clip, ids), atol=1e-5, rtol=1e-5)


def test_what_stands_behind_the_end_token_does_not_matter():
    clip = build(PLAIN)
    ids = sentences(6, 14)
    other = ids.clone()
    behind = torch.arange(14) > ids.argmax(1)[:, None]
    other[behind] = 5
    torch.testing.assert_close(
        encode_causal(causal_tower(clip), [ids]), encode_causal(causal_tower(clip), [other])
    )


def test_what_stands_before_the_end_token_does_matter():
    clip = build(PLAIN)
    ids = sentences(6, 14)
    other = ids.clone()
    other[:, 1] = 8
    ours = encode_causal(causal_tower(clip), [ids, other])
    assert (ours[0] - ours[1]).abs().amin(0).max() > 1e-3


@pytest.mark.parametrize(
    'edit',
    [
        pytest.param(lambda ids: ids[:1], id='one text'),
        pytest.param(lambda ids: ids[[2, 2, 2]], id='the same text thrice'),
        pytest.param(lambda ids: ids[:, [0, 13]], id='only start and padding'),
        pytest.param(lambda ids: ids.index_fill(1, torch.tensor([4]), END), id='an end inside'),
        pytest.param(lambda ids: ids.index_fill(1, torch.tensor([0]), END), id='the end first'),
        pytest.param(
            lambda ids: ids.index_fill(1, torch.tensor([13]), END).clamp(min=1), id='full rows'
        ),
        pytest.param(
            lambda ids: torch.cat([ids[:3], torch.tensor([[START, END, *[0] * 12]])]),
            id='an empty text among others',
        ),
    ],
)
@pytest.mark.parametrize('kind', ['clip', 'end_id'])
def test_odd_rows(kind, edit):
    clip = build(KINDS[kind][0])
    ids = edit(sentences(9, 14))
    full = F.pad(ids, (0, 14 - ids.shape[1]))
    (features,) = encode_causal(causal_tower(clip), [ids])
    torch.testing.assert_close(features, encode_text(clip, full), atol=1e-5, rtol=1e-5)


def test_no_text_and_no_group():
    tower = causal_tower(build(PLAIN))
    assert encode_causal(tower, []) == []
    empty, some = encode_causal(tower, [torch.empty(0, 14, dtype=torch.long), sentences(2, 14)])
    assert empty.shape == (0, 24) and some.shape == (2, 24)


def test_batches_of_any_size_agree(monkeypatch):
    clip = build(PLAIN)
    ids = sentences(40, 14)
    (whole,) = encode_causal(causal_tower(clip), [ids])
    monkeypatch.setattr('mmclip.clip.causal_text.CPU_TOKENS', 8)
    (pieces,) = encode_causal(causal_tower(clip), [ids])
    torch.testing.assert_close(pieces, whole, atol=1e-6, rtol=1e-6)


def test_bfloat16_tower():
    """As `create_model(..., precision='pure_bf16')`: the same rounding, up to summation order."""
    clip = build(PLAIN).to(torch.bfloat16)
    ids = sentences(9, 14)
    (features,) = encode_causal(causal_tower(clip), [ids])
    assert features.dtype == torch.bfloat16
    exact = F.normalize(encode_text(build(PLAIN), ids), dim=1)
    cosine = (F.normalize(features.float(), dim=1) * exact).sum(1)
    assert cosine.min() > 0.999


def test_mixed_precision_tower():
    """As `create_model(..., precision='bf16')`: embeddings and norms stay float32."""
    torch.manual_seed(0)
    clip = open_clip.CLIP(**PLAIN, cast_dtype=torch.bfloat16).eval()
    open_clip.model.convert_weights_to_lp(clip, torch.bfloat16)
    ids = sentences(9, 14)
    (features,) = encode_causal(causal_tower(clip), [ids])
    expected = encode_text(clip, ids)
    assert features.dtype == expected.dtype
    cosine = F.cosine_similarity(features.float(), expected.float())
    assert cosine.min() > 0.999


def test_an_adapter_in_the_attention_is_not_bypassed():
    class Adapted(nn.MultiheadAttention):
        pass

    clip = build(PLAIN)
    clip.transformer.resblocks[1].attn = Adapted(32, 2, batch_first=True)
    assert causal_tower(clip) is None
