"""Turns the layouts in which CLIP weights are published into open_clip's.

OpenAI's keys are open_clip's already, after three integers are dropped. Hugging Face splits q, k
and v, stores the projections transposed and spells ``pre_layrnorm`` so.
"""

import re

import torch

from mmclip.io.rename import rename

OPENAI_INTEGERS = ('input_resolution', 'context_length', 'vocab_size')
_HF_TOWERS = {'text_model.': '', 'vision_model.': 'visual.'}
_HF_NAMES = (
    (r'embeddings\.token_embedding\.weight', 'token_embedding.weight'),
    (r'embeddings\.position_embedding\.weight', 'positional_embedding'),
    (r'embeddings\.class_embedding', 'class_embedding'),
    (r'embeddings\.patch_embedding\.weight', 'conv1.weight'),
    (r'pre_layrnorm\.', 'ln_pre.'),
    (r'post_layernorm\.', 'ln_post.'),
    (r'final_layer_norm\.', 'ln_final.'),
    (r'encoder\.layers\.(\d+)\.layer_norm1\.', r'transformer.resblocks.\1.ln_1.'),
    (r'encoder\.layers\.(\d+)\.layer_norm2\.', r'transformer.resblocks.\1.ln_2.'),
    (r'encoder\.layers\.(\d+)\.mlp\.fc1\.', r'transformer.resblocks.\1.mlp.c_fc.'),
    (r'encoder\.layers\.(\d+)\.mlp\.fc2\.', r'transformer.resblocks.\1.mlp.c_proj.'),
    (
        r'encoder\.layers\.(\d+)\.self_attn\.out_proj\.',
        r'transformer.resblocks.\1.attn.out_proj.',
    ),
)
_HF_QKV = re.compile(r'(.*encoder\.layers\.\d+\.self_attn)\.([qkv])_proj\.(weight|bias)')


def is_openai(state: dict[str, torch.Tensor]) -> bool:
    """Whether the weights are an OpenAI archive (all of which were trained with QuickGELU)."""
    return all(name in state for name in OPENAI_INTEGERS)


def is_hugging_face(state: dict[str, torch.Tensor]) -> bool:
    return any(name.startswith('vision_model.') for name in state)


def _hf_name(name: str) -> str:
    for tower, prefix in _HF_TOWERS.items():
        if name.startswith(tower):
            new = rename(name.removeprefix(tower), _HF_NAMES, prefix=True)
            if new is not None:
                return prefix + new
    raise ValueError(f'state: unknown key {name!r} in a Hugging Face CLIP checkpoint')


def _from_hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    converted, parts = {}, {}
    for name, value in state.items():
        if name.endswith('embeddings.position_ids'):
            continue
        if match := _HF_QKV.fullmatch(name):
            block, part, kind = match.groups()
            parts.setdefault((block, kind), {})[part] = value
        elif name == 'visual_projection.weight':
            converted['visual.proj'] = value.t()
        elif name == 'text_projection.weight':
            converted['text_projection'] = value.t()
        elif name == 'logit_scale':
            converted[name] = value
        else:
            converted[_hf_name(name)] = value
    for (block, kind), qkv in parts.items():
        if missing := [part for part in 'qkv' if part not in qkv]:
            names = ', '.join(f'{part}_proj' for part in missing)
            raise ValueError(f'state: {block} lacks the {kind} of {names}')
        tower = next(t for t in _HF_TOWERS if block.startswith(t))
        layer = block.split('.')[3]
        converted[f'{_HF_TOWERS[tower]}transformer.resblocks.{layer}.attn.in_proj_{kind}'] = (
            torch.cat([qkv['q'], qkv['k'], qkv['v']])
        )
    return converted


def to_open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in open_clip's layout, float32, whatever layout they came in.

    Args:
        state: Tensors by name: OpenAI, open_clip (``module.`` prefixes allowed) or Hugging Face
        CLIP.

    Raises:
        ValueError: a key of a Hugging Face checkpoint is unknown, or a part of one is missing.
    """
    if all(name.startswith('module.') for name in state):
        state = {name.removeprefix('module.'): value for name, value in state.items()}
    if is_hugging_face(state):
        state = _from_hugging_face(state)
    # `attn_mask` is a constant that TorchScript archives carry as an attribute.
    state = {
        name: value
        for name, value in state.items()
        if name not in OPENAI_INTEGERS and not name.endswith('attn_mask')
    }
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
