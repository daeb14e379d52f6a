"""Adapters of GLIP's fusion and towers, and what all of them share."""

from collections.abc import Sequence

import torch
from torch import nn

from mmclip.models.glip.bi_attention import BiAttention
from mmclip.models.glip.convert import convert
from mmclip.models.glip.deform_conv import deform_conv
from mmclip.models.glip.dyconv import DyConv
from mmclip.models.glip.fusion import VisionLanguageFusion
from mmclip.models.glip.head import GLIPHead
from mmclip.models.glip.neck import DeepFusionNeck
from mmclip.models.glip.text_layer import BertFusionLayer, CLIPFusionLayer
from mmclip.registry import MODELS
from parity.case import Case

TOWER = 'rpn.head.dyhead_tower.'
HEAD = 'rpn.head.'


def numbered(tensors: dict, name: str) -> tuple[torch.Tensor, ...]:
    """name.0, name.1, ..."""
    found = []
    while f'{name}.{len(found)}' in tensors:
        found.append(tensors[f'{name}.{len(found)}'])
    return tuple(found)


def renumbered(values: Sequence, name: str) -> dict:
    return {f'{name}.{number}': value for number, value in enumerate(values)}


def converted(state: dict, before: str, after: str) -> dict:
    """Weights of one part through the converter, without our prefix."""
    ours = convert({before + name: value for name, value in state.items()})
    return {name.removeprefix(after): value for name, value in ours.items()}


def load(module: nn.Module, state: dict, allowed: str = 'relative_position_index') -> nn.Module:
    """Everything is there but what the fixture leaves out; nothing is left over."""
    result = module.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith(allowed)]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    return module.eval()


# -- fusion -------------------------------------------------------------------------------------


@torch.no_grad()
def bi_attention(case: Case) -> dict:
    config, inputs, found = case.config, case.inputs, {}
    state = converted(case.state, TOWER + '0.b_attn.attn.', 'fusion.blocks.0.fusion.attention.')
    settings = dict(
        vision_dim=config['v_dim'],
        text_dim=config['l_dim'],
        embed_dim=config['embed_dim'],
        num_heads=config['num_heads'],
        chunk=7,  # several portions
    )
    factor = inputs['big_factor']
    for suffix, options, scale, mask in (
        ('', {}, 1, True),
        ('_nomask', {}, 1, False),
        ('_stable', dict(stable_softmax=True), 1, True),
        ('_big', {}, factor, True),
        ('_big_stable', dict(stable_softmax=True), factor, True),
        ('_big_noclamp', dict(clamp=False), factor, True),
    ):
        if f'v{suffix}' not in case.outputs:
            continue
        attention = load(BiAttention(**settings, **options), state)
        mask = inputs['mask'].bool() if mask else None
        found[f'v{suffix}'], found[f'l{suffix}'] = attention(inputs['v'] * scale, inputs['l'], mask)
    return found


@torch.no_grad()
def vlfuse(case: Case) -> dict:
    config = case.config
    state = converted(case.state, TOWER + '0.', 'fusion.blocks.0.fusion.')
    features = numbered(case.inputs, 'visual')
    fusion = VisionLanguageFusion(
        vision_dim=config['v_dim'],
        text_dim=config['l_dim'],
        kind=config['type'],
        embed_dim=config['embed_dim'],
        num_heads=config['num_heads'],
        separate=config['separate_bidirectional'],
        num_levels=len(features),
        renormalize=True,
        clamp=config['clamps'],
    )
    load(fusion, state)
    mask = case.inputs['masks'].bool()
    maps, hidden = fusion(features, case.inputs['hidden'], mask)
    return renumbered(maps, 'visual') | {'hidden': hidden}


@torch.no_grad()
def bert_fusion_layer(case: Case) -> dict:
    config, hidden = case.config, case.inputs['hidden']
    layer = BertFusionLayer(
        dim=config['hidden_size'],
        num_heads=config['num_attention_heads'],
        hidden_dim=config['intermediate_size'],
        eps=config['layer_norm_eps'],
    )
    load(layer, converted(case.state, TOWER + '0.', 'fusion.blocks.0.text_layer.'))
    return {
        'hidden': layer(hidden, case.inputs['masks'].bool()),
        'hidden_scaled_4e5': layer(hidden * 4e5),
    }


@torch.no_grad()
def clip_fusion_layer(case: Case) -> dict:
    layer = CLIPFusionLayer(dim=case.config['width'], num_heads=case.config['heads'])
    load(layer, converted(case.state, TOWER + '0.', 'fusion.blocks.0.text_layer.'))
    return {'hidden': layer(case.inputs['hidden'], case.inputs['masks'].bool())}


# -- DyHead -------------------------------------------------------------------------------------


def deformable(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    fixed = dict(padding=1, dilation=1, groups=1, deformable_groups=1)
    assert {name: config[name] for name in fixed} == fixed
    parts = (inputs[name] for name in ('x', 'offset', 'mask'))
    weights = case.state['weight'], case.state['bias']
    return {'out': deform_conv(*parts, *weights, config['stride'])}


def dyconv_block(config: dict) -> DyConv:
    return DyConv(
        channels=config['channels'],
        norm_groups=config['gn_groups'],
        deform=config['use_deform'],
        fuse=config['use_dyfuse'],
        dyrelu=config['use_dyrelu'],
    )


@torch.no_grad()
def dyconv(case: Case) -> dict:
    block = dyconv_block(case.config)
    load(block, converted(case.state, TOWER + '0.', 'fusion.blocks.0.dyconv.'))
    return renumbered(block(numbered(case.inputs, 'visual')), 'visual')


@torch.no_grad()
def dyrelu(case: Case) -> dict:
    act = DyConv(channels=case.config['inp']).act
    load(act, converted(case.state, TOWER + '0.relu.', 'fusion.blocks.0.dyconv.act.'))
    return {'out': act(case.inputs['x'])}


# -- head ---------------------------------------------------------------------------------------


def tower_and_head(config: dict, state: dict, blocks: int) -> tuple[DeepFusionNeck, GLIPHead]:
    """From the settings that the fixtures of towers share."""
    dims = dict(channels=config['channels'], text_dim=config['lang_dim'])
    fused_text = config.get('use_fused_features_dot_product', True)
    fusion = text = None
    if config.get('early_fuse_on', True):
        fusion = dict(embed_dim=config['embed_dim'], num_heads=config['num_heads'])
        text = dict(
            kind='bert', num_heads=config['bert_heads'], hidden_dim=config['bert_intermediate']
        )
    neck = DeepFusionNeck(
        **dims,
        num_blocks=blocks,
        fusion=fusion,
        text_layer=text,
        last_text_layer=fused_text,
        dyconv=dict(norm_groups=config['gn_groups']),
    )
    alignment = dict(type='mmclip.TokenAlignment')
    if config.get('head') == 'contrastive_align':
        weight = state['bbox_head.alignment.image_projection.weight']
        alignment = dict(type='mmclip.ContrastiveAlignment', hidden_dim=len(weight))
        dims['text_dim'] = config['channels']  # the fixture's words are resized already
    head = GLIPHead(**dims, fused_text=fused_text, alignment=alignment)
    both = nn.ModuleDict(dict(fusion=neck, bbox_head=head))
    load(both, {name: value for name, value in state.items() if name != 'prompt_offset'})
    return neck, head


def raw_outputs(boxes: object, logits: torch.Tensor, shapes: Sequence, name: str) -> dict:
    """Outputs of a head, level by level as the official code gives them."""
    found, start = {}, 0
    for number, ((height, width), size) in enumerate(zip(shapes, boxes.sizes, strict=True)):
        level = slice(start, start + size)
        found |= {
            f'bbox_reg.{number}': boxes.deltas[:, level]
            .transpose(1, 2)
            .unflatten(2, (height, width)),
            f'centerness.{number}': boxes.centerness[:, None, level].unflatten(2, (height, width)),
            f'{name}.{number}': logits[:, level],
        }
        start += size
    return found


def shapes_of(features: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    return [tuple(level.shape[2:]) for level in features]


@torch.no_grad()
def vldyhead(case: Case) -> dict:
    state = convert({HEAD + name: value for name, value in case.state.items()})
    neck, head = tower_and_head(case.config, state, case.config['num_convs'])
    text = dict(
        hidden=case.inputs['hidden'],
        embedded=case.inputs['embedded'],
        mask=case.inputs['masks'].bool(),
    )
    features = numbered(case.inputs, 'visual')
    maps, text = neck(features, text)
    boxes, logits = head(maps, text)
    name = next(key.rpartition('.')[0] for key in case.outputs if 'logits' in key)
    found = raw_outputs(boxes, logits, shapes_of(features), name)
    if 'proj_tokens' in case.outputs:
        found['proj_tokens'] = head.project(text)[0]
    return found


@torch.no_grad()
def prompt_tuning_offset(case: Case) -> dict:
    state = {'rpn.' + name.replace('[:16]', ''): value for name, value in case.state.items()}
    state = convert(state)
    neck, head = tower_and_head(case.config, state, case.config['num_convs'])
    rows = state['prompt_offset'][: case.inputs['hidden'].shape[1]]
    text = {name: case.inputs[name] + rows for name in ('hidden', 'embedded')}
    features = numbered(case.inputs, 'visual')
    boxes, logits = head(*neck(features, text | dict(mask=case.inputs['masks'].bool())))
    found = raw_outputs(boxes, logits, shapes_of(features), 'dot_product_logits')
    return {name: value for name, value in found.items() if name in case.outputs}


@torch.no_grad()
def alignment_logits(case: Case) -> dict:
    alignment = MODELS.build(
        dict(
            type='mmclip.TokenAlignment',
            channels=case.config['channels'],
            text_dim=case.config['lang_dim'],
        )
    )
    load(alignment, converted(case.state, HEAD, 'bbox_head.alignment.'))
    features = case.inputs['visual'].flatten(2).transpose(1, 2)
    words = alignment.project(case.inputs['embedding'])
    return {
        'logits': alignment(features, words),
        'logits_visual_x1e6': alignment(features * 1e6, words),
    }


ADAPTERS = {
    'bi_attention': bi_attention,
    'vlfuse*': vlfuse,
    'bert_fusion_layer': bert_fusion_layer,
    'clip_fusion_layer': clip_fusion_layer,
    'dcn_*': deformable,
    'dyconv_*': dyconv,
    'dyrelu': dyrelu,
    'vldyhead_*': vldyhead,
    'alignment_logits': alignment_logits,
    'prompt_tuning_offset': prompt_tuning_offset,
}
