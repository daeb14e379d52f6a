"""Official checkpoints with GLIPv2's options switched on, to the names of our modules."""

import re

import torch

State = dict[str, torch.Tensor]

_RULES = (
    # words
    (r'rpn\.head\.mlm_head\.transform\.dense\.', 'mlm_head.dense.'),
    (r'rpn\.head\.mlm_head\.transform\.LayerNorm\.', 'mlm_head.norm.'),
    (r'rpn\.head\.mlm_head\.decoder\.', 'mlm_head.decoder.'),
    # regions and words of other pictures
    (r'rpn\.loss_evaluator\.shallow_log_scale', 'inter_image_loss.log_scale'),
    (
        r'rpn\.loss_evaluator\.shallow_contrastive_projection_(image|text)\.',
        r'inter_image_loss.projection_\1.',
    ),
    # masks
    (r'roi_heads\.mask\.predictor\.conv5_mask\.', 'mask_head.upsample.'),
    (r'roi_heads\.mask\.predictor\.dot_product_projection_text\.', 'mask_head.projection_text.'),
    (r'roi_heads\.mask\.predictor\.(log_scale|bias_lang)$', r'mask_head.\1'),
)
_MASK_CONV = re.compile(r'roi_heads\.mask\.feature_extractor\.mask_fcn(\d+)\.')
_DOUBLE_BIAS = 'rpn.head.mlm_head.bias'  # the same tensor as decoder.bias; either may be stored


def _new_name(name: str) -> str | None:
    """Our name of one of the parts that GLIP lacks; None for GLIP's own."""
    if match := _MASK_CONV.match(name):
        return f'mask_head.convs.{int(match[1]) - 1}.conv.{name[match.end() :]}'
    for pattern, new in _RULES:
        if found := re.match(pattern, name):
            return found.expand(new) + name[found.end() :]
    return None


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
