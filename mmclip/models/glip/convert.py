"""Official GLIP checkpoints, and MMDetection's, to the names of our modules.

    backbone.body.*                             backbone.* (Swin: merging weights are permuted)
    backbone.fpn.fpn_inner{k}, fpn_layer{k}     neck.lateral_convs.{k-2}.conv, fpn_convs.{k-2}.conv
    backbone.fpn.top_blocks.p6, p7              neck.fpn_convs.3.conv, .4.conv
    language_backbone.body.model.*              text_encoder.bert.*
    language_backbone.body.*                    text_encoder.* (CLIP)
    rpn.head.dyhead_tower.{3i,3i+1,3i+2}        fusion.blocks.{i}.{fusion,text_layer,dyconv}
    rpn.head.{bbox_pred,centerness,scales}      bbox_head.{reg,centerness,scales}
    rpn.head.dot_product_projection_text, ...   bbox_head.alignment.*
    rpn.tunable_linear.weight                   prompt_offset

Without a fusion the tower has one module per block. Left out: what no forward pass reads (class
logits beside the token logits, anchors, BERT's pooler and position numbers).
"""

import re

import torch
from mmdet.models.backbones.swin import swin_converter

from mmclip.io.rename import rename
from mmclip.models.glip.text_encoder import bert_state

State = dict[str, torch.Tensor]

_TOWER = re.compile(r'rpn\.head\.dyhead_tower\.(\d+)\.(.*)')
# In one module of the tower: official name, ours.
_FUSION = (
    (r'b_attn\.attn\.v_proj\.', 'fusion.attention.query.'),
    (r'b_attn\.attn\.l_proj\.', 'fusion.attention.key.'),
    (r'b_attn\.attn\.values_([vl])_proj\.', r'fusion.attention.value_\1.'),
    (r'b_attn\.attn\.out_([vl])_proj\.', r'fusion.attention.out_\1.'),
    (r'b_attn\.layer_norm_([vl])\.', r'fusion.norm_\1.'),
    (r'b_attn\.gamma_([vl])$', r'fusion.gamma_\1'),
    (r'(?:b_attn\.)?shrink_lang\.fc\.', 'fusion.shrink.fc.'),
    (r'(?:b_attn\.)?shrink_lang\.layer_norm\.', 'fusion.shrink.norm.'),
    (r't2i_attn\.attn\.q_proj\.', 'fusion.attention.query.'),
    (r't2i_attn\.attn\.k_proj\.', 'fusion.attention.key.'),
    (r't2i_attn\.attn\.v_proj\.', 'fusion.attention.value_l.'),
    (r't2i_attn\.attn\.out_proj\.', 'fusion.attention.out_v.'),
    (r't2i_attn\.layer_norm_q_1\.', 'fusion.norm_v.'),
    (r't2i_attn\.layer_norm_k_1\.', 'fusion.norm_l.'),
    (r't2i_attn\.gamma$', 'fusion.gamma_v'),
)
_TEXT = (
    (r'attention\.self\.(query|key|value)\.', r'text_layer.\1.'),
    (r'attention\.output\.dense\.', 'text_layer.attention_out.'),
    (r'attention\.output\.LayerNorm\.', 'text_layer.attention_norm.'),
    (r'intermediate\.dense\.', 'text_layer.intermediate.'),
    (r'output\.dense\.', 'text_layer.output.'),
    (r'output\.LayerNorm\.', 'text_layer.output_norm.'),
    (r'(ln_[12]|attn|mlp)\.', r'text_layer.\1.'),
)
_DYCONV = (
    (r'DyConv\.0\.', 'dyconv.coarser.'),
    (r'DyConv\.1\.', 'dyconv.same.'),
    (r'DyConv\.2\.', 'dyconv.finer.'),
    (r'AttnConv\.1\.', 'dyconv.weight.'),
    (r'offset\.', 'dyconv.offset.'),
    (r'relu\.fc\.0\.', 'dyconv.act.squeeze.'),
    (r'relu\.fc\.2\.', 'dyconv.act.expand.'),
)
_HEAD = (
    (r'rpn\.head\.bbox_pred\.', 'bbox_head.reg.'),
    (r'rpn\.head\.(centerness|scales)\.', r'bbox_head.\1.'),
    (r'rpn\.head\.dot_product_projection_text\.', 'bbox_head.alignment.projection.'),
    (
        r'rpn\.head\.contrastive_align_projection_(image|text)\.',
        r'bbox_head.alignment.\1_projection.',
    ),
    (r'rpn\.head\.(log_scale|bias_lang|bias0)$', r'bbox_head.alignment.\1'),
    (r'rpn\.resizer\.fc\.', 'bbox_head.alignment.resize.0.'),
    (r'rpn\.resizer\.layer_norm\.', 'bbox_head.alignment.resize.1.'),
    (r'rpn\.tunable_linear\.weight$', 'prompt_offset'),
    (r'backbone\.fpn\.top_blocks\.p6\.', 'neck.fpn_convs.3.conv.'),
    (r'backbone\.fpn\.top_blocks\.p7\.', 'neck.fpn_convs.4.conv.'),
)
_FPN = re.compile(r'backbone\.fpn\.fpn_(inner|layer)(\d)\.(.*)')
_UNUSED = re.compile(
    r'rpn\.head\.cls_logits\.|rpn\.anchor_generator\.|.*embeddings\.position_ids$|.*\.pooler\.'
)
# MMDetection's names of what it did not keep from the official code.
_MMDET = (
    (r'language_model\.language_backbone\.', 'language_backbone.'),
    (r'bbox_head\.head\.', 'rpn.head.'),
)


def _official(name: str) -> str:
    """An official name from a name in a file of either project."""
    name = name.removeprefix('module.')
    name = rename(name, _MMDET, prefix=True) or name
    if name.startswith('rpn.head.dyhead_tower.'):
        name = name.replace('.dyconvs.', '.DyConv.').replace('.attnconv.', '.AttnConv.')
    return name


def _tower(index: int, name: str, fused: bool) -> str | None:
    """Our name of a weight in module ``index`` of the tower."""
    new = rename(name, _FUSION + _TEXT + _DYCONV, prefix=True)
    if new is None:
        return None
    for norm in ('coarser', 'same', 'finer'):
        new = new.replace(f'{norm}.conv.', f'{norm}.').replace(f'{norm}.bn.', f'{norm}.norm.')
    return f'fusion.blocks.{index // 3 if fused else index}.{new}'


def _new_name(name: str, fused: bool) -> str | None:
    if found := _TOWER.match(name):
        return _tower(int(found[1]), found[2], fused)
    if found := _FPN.match(name):
        convs = 'lateral_convs' if found[1] == 'inner' else 'fpn_convs'
        return f'neck.{convs}.{int(found[2]) - 2}.conv.{found[3]}'
    return rename(name, _HEAD, prefix=True)


def convert(state_dict: State) -> State:
    """A GLIP's weights under our names.

    Args:
        state_dict: The official code's, or MMDetection's.

    Raises:
        ValueError: names that the converter does not know.
    """
    state = {_official(name): value for name, value in state_dict.items()}
    state = {name: value for name, value in state.items() if not _UNUSED.match(name)}
    fused = any('b_attn.' in name or 't2i_attn.' in name for name in state)
    body, bert, renamed, unknown = {}, {}, {}, []
    for name, value in state.items():
        if name.startswith('backbone.body.'):
            body[name.removeprefix('backbone.body.')] = value
        elif name.startswith('language_backbone.body.model.'):
            bert[name.removeprefix('language_backbone.body.model.')] = value
        elif name.startswith('language_backbone.body.'):
            renamed['text_encoder.' + name.removeprefix('language_backbone.body.')] = value
        elif name.startswith(('backbone.', 'neck.')) and not name.startswith('backbone.fpn.'):
            renamed[name] = value  # MMDetection's
        elif new := _new_name(name, fused):
            if new.endswith(('image_projection.weight', 'dyconv.weight.weight')):
                value = value.flatten(1)  # a 1 x 1 convolution of one place
            elif new.endswith('.scale'):
                value = value.reshape(1)  # MMDetection's are scalars
            renamed[new] = value
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f"state_dict: {len(unknown)} names are neither the official GLIP's nor MMDetection's, "
            f'e.g. {sorted(unknown)[:5]}'
        )
    text = {f'text_encoder.bert.{name}': value for name, value in bert_state(bert).items()}
    return renamed | text | dict(swin_converter(body))
