"""CLIP zero-shot: OpenAI's towers, open_clip's loss, Hugging Face's layout."""

import re
from collections.abc import Callable

import open_clip
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose
from PIL import Image

from mmclip.clip.backbones import OpenCLIPBackbone
from mmclip.clip.causal_text import encode_causal
from mmclip.clip.causal_tower import causal_tower
from mmclip.clip.config import clip_config_of, clip_config_of_hugging_face
from mmclip.clip.dense_features import resize_position_embedding
from mmclip.clip.loading import build_clip
from mmclip.clip.text_encoder import average_prompts
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.evaluation.top_k_accuracy import top_k_hits
from mmclip.models.clip_zero_shot.classifier import clip_data_preprocessor
from mmclip.models.clip_zero_shot.convert import convert
from mmclip.registry import MODELS
from parity.case import Case, Comparison, compare_keys


def build(state: dict, config: dict) -> tuple[torch.nn.Module, dict]:
    """Our CLIP with converted weights, and its architecture."""
    clip = build_clip(config)
    clip.load_state_dict(state)
    return clip, config


def openai_clip(case: Case, *, quick_gelu: bool = True) -> tuple[torch.nn.Module, dict]:
    state = convert(case.state)
    config = case.config
    return build(
        state,
        clip_config_of(
            state,
            vision_heads=config.get('vision_heads'),
            text_heads=config.get('transformer_heads'),
            quick_gelu=quick_gelu,
        ),
    )


def backbone_of(clip: torch.nn.Module, config: dict, **options: object) -> OpenCLIPBackbone:
    backbone = OpenCLIPBackbone(model=config, **options)
    backbone.visual.load_state_dict(clip.visual.state_dict())
    return backbone.eval()


def text_features(clip: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """By the fast path, as a user's vocabulary is encoded."""
    return encode_causal(causal_tower(clip), [ids])[0]


def _asked(case: Case, ours: dict) -> dict:
    """What the fixture holds of all that we can compute."""
    return {k: v for k, v in ours.items() if k in case.outputs or k in case.tensors}


def text_hidden(clip: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    x = clip.token_embedding(ids) + clip.positional_embedding
    return clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))


def logits(clip: torch.nn.Module, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    cosine = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    return clip.logit_scale.exp() * cosine


@torch.no_grad()
def vit_forward(case: Case) -> dict:
    clip, config = openai_clip(case)
    image, text = case.inputs['image'], case.inputs['text']
    depth = config['vision_cfg']['layers']
    tokens = backbone_of(clip, config).tokens(image)
    pooled, texts = backbone_of(clip, config).pooled(image), text_features(clip, text)
    per_image = logits(clip, pooled, texts)
    ours = {
        'image_features': pooled,
        'text_features': texts,
        'logits_per_image': per_image,
        'logits_per_text': per_image.T,
        'text_hidden': text_hidden(clip, text),
        'tokens_after_ln_pre': tokens[0],
        'tokens_projected': backbone_of(clip, config).project(tokens[-1]),
        'negative_control/image_features_with_erf_gelu': pooled,
        'negative_control/text_features_with_erf_gelu': texts,
    }
    ours |= {f'tokens_after_block{i}': tokens[i + 1] for i in range(depth)}
    for name, residual in (('residual_ffn', True), ('only', False)):
        dense = backbone_of(clip, config, dense='maskclip', maskclip_residual=residual)
        ours[f'maskclip_value_{name}'] = dense.dense_features(image).flatten(2).transpose(1, 2)
    return _asked(case, ours)


@torch.no_grad()
def rn_forward(case: Case) -> dict:
    clip, config = openai_clip(case)
    image, text = case.inputs['image'], case.inputs['text']
    backbone = backbone_of(clip, config, out_indices=(0, 1, 2, 3, 4))
    pooled, texts = backbone.pooled(image), text_features(clip, text)
    per_image = logits(clip, pooled, texts)
    names = ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
    ours = dict(zip(names, backbone(image), strict=True))
    for name, dense in (
        ('attnpool_all_queries', 'attention_pool'),
        ('attnpool_all_queries_no_pos', 'attention_pool_no_position'),
        ('maskclip_value', 'maskclip'),
    ):
        ours[name] = backbone_of(clip, config, dense=dense).dense_features(image)
    ours |= {
        'image_features': pooled,
        'text_features': texts,
        'logits_per_image': per_image,
        'logits_per_text': per_image.T,
    }
    return _asked(case, ours)


@torch.no_grad()
def hf_vit_forward(case: Case) -> dict:
    row = case.config
    clip, config = build(
        convert(case.state),
        clip_config_of_hugging_face(
            dict(
                vision_config=row['vision'],
                text_config=row['text'],
                projection_dim=row['projection_dim'],
            )
        ),
    )
    ids, pixels = case.inputs['input_ids'], case.inputs['pixel_values']
    backbone = backbone_of(clip, config)
    pooled, texts = backbone.pooled(pixels), text_features(clip, ids)
    return {
        'image_features': pooled,
        'text_features': texts,
        'logits_per_image': logits(clip, pooled, texts),
        'vision_last_hidden_state': backbone.tokens(pixels)[-1],
        'text_last_hidden_state': text_hidden(clip, ids),
    }


def zeroshot_ensemble(case: Case) -> dict:
    inputs = case.inputs
    embeddings = average_prompts(inputs['text_embeddings'])
    scores = case.config['logit_scale'] * F.normalize(inputs['image_features'], dim=-1)
    scores = scores @ embeddings.T
    hits = {
        f'top{k}_count': top_k_hits(scores, inputs['labels'], k).sum()
        for k in (
            int(n.removeprefix('top').removesuffix('_count'))
            for n in case.outputs
            if n.endswith('_count')
        )
    }
    return {
        'classifier': embeddings.T,
        'logits': scores,
        'negative_control/classifier_without_per_prompt_norm': embeddings.T,
        **hits,
    }


def contrastive_loss(case: Case) -> dict:
    from mmclip.clip.contrastive_loss import contrastive_loss as symmetric_info_nce

    leaves = {name: value.clone().requires_grad_() for name, value in case.inputs.items()}
    loss = symmetric_info_nce(
        leaves['image_features'], leaves['text_features'], leaves['logit_scale']
    )
    loss.backward()
    return {
        'loss': loss,
        'grad_image': leaves['image_features'].grad,
        'grad_text': leaves['text_features'].grad,
        'grad_logit_scale': leaves['logit_scale'].grad,
    }


def pos_embed_resize(case: Case) -> dict:
    modes = {'antialias': 'bicubic_antialias', 'plain': 'bicubic'}
    old = case.config['old_grid']
    old = (old, old) if isinstance(old, int) else tuple(old)
    ours = {}
    for name in case.outputs:
        kind, size = name.split('_')
        height, width = map(int, size.split('x'))
        ours[name] = resize_position_embedding(
            case.inputs['positional_embedding'],
            (height, width),
            old_size=old,
            mode=modes[kind],
        )
    return ours


def preprocess(case: Case) -> dict:
    pipeline = Compose(
        [
            dict(type='mmclip.CLIPResizeCrop', size=case.config['n_px']),
            dict(type='mmclip.PackCLIPInputs'),
        ]
    )
    normalize = MODELS.build(clip_data_preprocessor())
    ours = {}
    for name, row in case.config['images'].items():
        size = (row['width'], row['height'])
        image = Image.frombytes(row['mode'], size, case.inputs[name].numpy().tobytes())
        if row['mode'] == 'P':
            image.putpalette(case.inputs[f'{name}_palette'].numpy().tobytes())
        packed = pipeline(dict(img=image))
        batch = dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])
        ours[name] = normalize(batch)['inputs'][0]
    return ours


def tokenizer_cases(case: Case) -> list[Comparison]:
    openai = CLIPTokenizer(special='openai')
    strict, open_clip = CLIPTokenizer(special='openai', truncate=False), CLIPTokenizer()
    compared = []
    for index, row in enumerate(case.sidecar['cases']):
        text, name = row['text'], f'case {index}'

        def raises(text: str = text) -> bool:
            try:
                strict(text)
            except ValueError:
                return True
            return False

        ids = row['ids77_truncate']
        pairs = dict(
            body_ids=(openai.encode(text), row['body_ids']),
            decoded=(openai.decode(row['body_ids']), row['decoded']),
            num_tokens=(len(openai.encode(text)) + 2, row['num_tokens']),
            ids=(openai(text, len(ids))[0].tolist(), ids),
            raises=(raises(), row['raises_without_truncate']),
            too_long=(raises(), row['too_long_for_77']),
        )
        other = next((row[k] for k in row if k.startswith('open_clip')), ids)
        pairs['open_clip'] = (open_clip(text, len(other))[0].tolist(), other)
        compared += [Comparison(f'{name} {k}', *pair) for k, pair in pairs.items()]
    for index, row in enumerate(case.sidecar['short_context']):
        ids = openai(row['text'], row['context_length'])[0].tolist()
        compared.append(Comparison(f'short {index}', ids, row['ids_truncate']))
    return compared


def full_keys(case: Case) -> list[Comparison]:
    """The converted checkpoint fills our model, key by key and shape by shape."""
    converted = convert(case.key_state())
    models: list[str | dict] = [clip_config_of(converted)]
    # The model that a config names for these weights.
    named = re.sub('^full_keys_(openai|hf)_', '', case.name) + '-quickgelu'
    models += [named] if named in open_clip.list_models() else []
    compared = []
    for model in models:
        with torch.device('meta'):
            clip = build_clip(model)
        compared += compare_keys(converted, clip)
    return compared


ADAPTERS: dict[str, Callable] = {
    'vit_forward': vit_forward,
    'rn_forward': rn_forward,
    'hf_vit_forward': hf_vit_forward,
    'zeroshot_ensemble': zeroshot_ensemble,
    'contrastive_loss': contrastive_loss,
    'pos_embed_resize': pos_embed_resize,
    'preprocess': preprocess,
    'tokenizer_cases': tokenizer_cases,
    'full_keys_*': full_keys,
}
