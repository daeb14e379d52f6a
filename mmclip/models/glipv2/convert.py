"""GLIP checkpoints, and those with GLIPv2's options switched on, to the names of our modules.

rpn.head.mlm_head.*                                 mlm_head.{dense,norm,decoder}
rpn.loss_evaluator.shallow_*                        inter_image_loss.*
roi_heads.mask.feature_extractor.mask_fcn{i}        bbox_head.mask_head.convs.{i-1}.conv
roi_heads.mask.predictor.*                          bbox_head.mask_head.*
backbone.body.layers.{s}.blocks.{b}.*_text, ...     backbone.stages.{s}.blocks.{b}.* (TextSwin)
everything else                                     as mmclip.models.glip.convert
"""

import re

import torch

from mmclip.io.rename import rename
from mmclip.models.glip import convert as glip

State = dict[str, torch.Tensor]

_RULES = (
    # words
    (r'rpn\.head\.mlm_head\.transform\.dense\.', 'mlm_head.dense.'),
    (r'rpn\.head\.mlm_head\.transform\.LayerNorm\.', 'mlm_head.norm.'),
    (r'rpn\.head\.mlm_head\.decoder\.', 'mlm_head.decoder.'),
    # regions and words of other images
    (r'rpn\.loss_evaluator\.shallow_log_scale', 'inter_image_loss.log_scale'),
    (
        r'rpn\.loss_evaluator\.shallow_contrastive_projection_(image|text)\.',
        r'inter_image_loss.projection_\1.',
    ),
    # masks
    (r'roi_heads\.mask\.predictor\.conv5_mask\.', 'bbox_head.mask_head.upsample.'),
    (
        r'roi_heads\.mask\.predictor\.dot_product_projection_text\.',
        'bbox_head.mask_head.projection_text.',
    ),
    (r'roi_heads\.mask\.predictor\.(log_scale|bias_lang)$', r'bbox_head.mask_head.\1'),
)
_SWIN_BLOCK = re.compile(r'backbone\.body\.layers\.(\d+\.blocks\.\d+)\.')
# Of words in the last stage of Swin (SWINT.VERSION: vl).
_SWIN_TEXT = (
    (r'attn\.qkv_text\.', 'attn.w_msa.qkv_text.'),
    (r'attn\.proj_text\.', 'attn.w_msa.proj_text.'),
    (r'attn\.i2t_relative_position_bias', 'attn.w_msa.image_text_bias'),
    (r'attn\.t2t_relative_position_bias', 'attn.w_msa.text_text_bias'),
    (r'mlp_text\.fc1\.', 'ffn_text.layers.0.0.'),
    (r'mlp_text\.fc2\.', 'ffn_text.layers.1.'),
    (r'norm1_text\.', 'norm1_text.'),
    (r'norm2_text\.', 'norm2_text.'),
)
_MASK_CONV = re.compile(r'roi_heads\.mask\.feature_extractor\.mask_fcn(\d+)\.')
_DOUBLE_BIAS = 'rpn.head.mlm_head.bias'  # the same tensor as decoder.bias; either may be stored


def _new_name(name: str) -> str | None:
    """Our name of one of the parts that GLIP lacks; None for GLIP's own."""
    if match := _MASK_CONV.match(name):
        return f'bbox_head.mask_head.convs.{int(match[1]) - 1}.conv.{name[match.end() :]}'
    if match := _SWIN_BLOCK.match(name):
        new = rename(name[match.end() :], _SWIN_TEXT, prefix=True)
        return None if new is None else f'backbone.stages.{match[1]}.{new}'
    return rename(name, _RULES, prefix=True)


def convert_parts(state: State) -> tuple[State, State]:
    """GLIPv2's own parts under our names, and the rest under the official ones."""
    own, rest = {}, {}
    for name, value in state.items():
        plain = name.removeprefix('module.')
        if plain == _DOUBLE_BIAS:
            own.setdefault('mlm_head.decoder.bias', value)
            continue
        new = _new_name(plain)
        (rest if new is None else own)[new or name] = value
    return own, rest


def convert(state_dict: State) -> State:
    """A GLIPv2's or GLIP's weights under our names.

    Args:
        state_dict: The official code's, or MMDetection's GLIP.

    Raises:
        ValueError: names that the converter does not know.
    """
    own, rest = convert_parts(state_dict)
    return glip.convert(rest) | own
