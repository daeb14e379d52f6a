"""GroupViT checkpoints, official or of transformers, to the names of our modules.

Official (``{'model': ...}`` beside omegaconf objects, read by :mod:`mmclip.io.checkpoint`)::

    img_encoder.patch_embed.{proj,norm}            backbone.patch_embed.{projection,norm}
    img_encoder.layers.i.blocks.j.*                backbone.stages.i.blocks.j.*
    img_encoder.layers.i.group_projector.*         ...stages.i.group_projector.{norm,mixer,widen}
    img_encoder.layers.i.downsample.mlp_inter      backbone.stages.i.grouping.mixer
    ...downsample.{pre_assign_attn,mlp_channels}   ...grouping.{cross,mlp}
    text_encoder.*                                 decode_head.text_tower.*
    {img,text}_projector.{linear_hidden.0,linear_hidden.1,linear_out}
                                                   decode_head.{image,text}_projector.{fc1,bn,fc2}
    logit_scale, multi_label_logit_scale           decode_head.*

transformers' ``GroupViTModel`` holds the same numbers with queries, keys and values apart; its
names are brought to the official ones first.
"""

import re

import torch

from mmclip.io.rename import Rule, as_float, rename

State = dict[str, torch.Tensor]

_GROUPING = {'mlp_inter': 'mixer', 'pre_assign_attn': 'cross', 'mlp_channels': 'mlp'}
_PROJECTOR = {'linear_hidden.0': 'fc1', 'linear_hidden.1': 'bn', 'linear_out': 'fc2'}
_SIDES = {'img': 'image', 'text': 'text'}

_OFFICIAL: tuple[Rule, ...] = (
    (r'((?:multi_label_)?logit_scale)', r'decode_head.\1'),
    (r'img_encoder\.pos_embed', 'backbone.pos_embed'),
    (r'img_encoder\.patch_embed\.proj\.(.*)', r'backbone.patch_embed.projection.\1'),
    (r'img_encoder\.(patch_embed\.norm\..*|norm\..*)', r'backbone.\1'),
    (r'img_encoder\.layers\.(\d+\.(?:group_token|blocks\..*))', r'backbone.stages.\1'),
    # With a change of width the first two parts are nested.
    (
        r'img_encoder\.layers\.(\d+\.group_projector\.)(?:0\.)?0\.([a-z]+)',
        r'backbone.stages.\1norm.\2',
    ),
    (
        r'img_encoder\.layers\.(\d+\.group_projector\.)(?:0\.)?1\.(fc\d\..*)',
        r'backbone.stages.\1mixer.\2',
    ),
    (
        r'img_encoder\.layers\.(\d+\.group_projector\.)([12])\.([a-z]+)',
        lambda m: f'backbone.stages.{m[1]}widen.{int(m[2]) - 1}.{m[3]}',
    ),
    (
        r'img_encoder\.layers\.(\d+)\.downsample\.(\w+)\.(.*)',
        lambda m: f'backbone.stages.{m[1]}.grouping.{_GROUPING.get(m[2], m[2])}.{m[3]}',
    ),
    (r'text_encoder\.(.*)', r'decode_head.text_tower.\1'),
    (
        r'(img|text)_projector\.(linear_hidden\.[01]|linear_out)\.(\w+)',
        lambda m: f'decode_head.{_SIDES[m[1]]}_projector.{_PROJECTOR[m[2]]}.{m[3]}',
    ),
)

_HF_PROJECTION = {'visual': 'img', 'text': 'text'}
_HF_LAYER = {'0': 'linear_hidden.0', '1': 'linear_hidden.1', '3': 'linear_out'}
_HF: tuple[Rule, ...] = (
    (r'(logit_scale)', r'\1'),
    (r'vision_model\.embeddings\.position_embeddings', 'img_encoder.pos_embed'),
    (
        r'vision_model\.embeddings\.patch_embeddings\.projection\.(.*)',
        r'img_encoder.patch_embed.proj.\1',
    ),
    (r'vision_model\.embeddings\.layernorm\.(.*)', r'img_encoder.patch_embed.norm.\1'),
    (r'vision_model\.layernorm\.(.*)', r'img_encoder.norm.\1'),
    (
        r'vision_model\.encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)',
        lambda m: f'img_encoder.layers.{m[1]}.blocks.{m[2]}.{_block(m[3])}',
    ),
    (
        r'vision_model\.encoder\.stages\.(.*)',
        lambda m: (
            'img_encoder.layers.' + m[1].replace('layer_norm2', 'norm2').replace('out_proj', 'proj')
        ),
    ),
    (r'text_model\.embeddings\.token_embedding\.weight', 'text_encoder.token_embedding.weight'),
    (r'text_model\.embeddings\.position_embedding\.weight', 'text_encoder.positional_embedding'),
    (r'text_model\.final_layer_norm\.(.*)', r'text_encoder.ln_final.\1'),
    (
        r'text_model\.encoder\.layers\.(\d+)\.(.*)',
        lambda m: f'text_encoder.transformer.resblocks.{m[1]}.{_text_block(m[2])}',
    ),
    (
        r'(visual|text)_projection\.([013])\.(\w+)',
        lambda m: f'{_HF_PROJECTION[m[1]]}_projector.{_HF_LAYER[m[2]]}.{m[3]}',
    ),
)


def _block(name: str) -> str:
    for old, new in (
        ('self_attn.out_proj', 'attn.proj'),
        ('self_attn', 'attn'),
        ('layer_norm', 'norm'),
    ):
        name = name.replace(old, new)
    return name


def _text_block(name: str) -> str:
    for old, new in (
        ('self_attn', 'attn'),
        ('layer_norm', 'ln_'),
        ('fc1', 'c_fc'),
        ('fc2', 'c_proj'),
    ):
        name = name.replace(old, new)
    return name


def _rename(name: str, rules: tuple[Rule, ...]) -> str:
    new = rename(name, rules)
    if new is None:
        raise ValueError(
            f'state: {name!r} is no weight of a GroupViT checkpoint (official: img_encoder.*, '
            'text_encoder.*, ...; transformers: vision_model.*, text_model.*, ...)'
        )
    return new


def new_name(name: str) -> str:
    """Our name of an official weight.

    Raises:
        ValueError: no weight of GroupViT's is called so.
    """
    return _rename(name, _OFFICIAL)


def from_hugging_face(state: State) -> State:
    """The official layout of a state dict of transformers' ``GroupViTModel``.

    Raises:
        ValueError: an unknown name; queries, keys and values that are not all there.
    """
    out, parts = {}, {}
    for name, value in state.items():
        if name.endswith('position_ids'):
            continue
        official = _rename(name, _HF)
        match = re.fullmatch(
            r'(.*\.(?:blocks|resblocks)\.\d+\.attn)\.([qkv])_proj\.(\w+)', official
        )
        if match:
            parts.setdefault((match[1], match[3]), {})[match[2]] = value
        else:
            out[official] = value
    for (attention, kind), own in parts.items():
        if own.keys() != set('qkv'):
            raise ValueError(f'state: {attention} has only {sorted(own)} of queries, keys, values')
        joint = f'.in_proj_{kind}' if attention.startswith('text') else f'.qkv.{kind}'
        out[attention + joint] = torch.cat([own[part] for part in 'qkv'])
    return out


def convert(state: State) -> State:
    """Weights of :class:`mmclip.GroupViTSegmentor` from an official or transformers' state dict.

    Every weight is used.

    Args:
        state: As :func:`mmclip.io.checkpoint.read_state_dict` reads a ``.pth`` or safetensors.

    Raises:
        ValueError: an unknown weight, or no GroupViT checkpoint.
    """
    if any(name.startswith('vision_model.') for name in state):
        state = from_hugging_face(state)
    if 'img_encoder.pos_embed' not in state:
        raise ValueError('state: no GroupViT checkpoint, img_encoder.pos_embed is missing')
    out = {}
    for name, value in state.items():
        if '_projector.linear_' in name and value.ndim == 3:  # convolutions over one position
            value = value.squeeze(2)
        out[new_name(name)] = as_float(value)
    return out
