"""Checkpoints of GLIP and of the official options."""

import pytest
import torch
from toy_glipv2 import INTER, MASKS, MLM, build

from mmclip.models.glipv2.convert import convert, convert_parts

OFFICIAL = {
    'rpn.head.mlm_head.transform.dense.weight': 'mlm_head.dense.weight',
    'rpn.head.mlm_head.transform.LayerNorm.bias': 'mlm_head.norm.bias',
    'rpn.head.mlm_head.decoder.weight': 'mlm_head.decoder.weight',
    'rpn.head.mlm_head.decoder.bias': 'mlm_head.decoder.bias',
    'rpn.loss_evaluator.shallow_log_scale': 'inter_image_loss.log_scale',
    'rpn.loss_evaluator.shallow_contrastive_projection_image.weight': (
        'inter_image_loss.projection_image.weight'
    ),
    'rpn.loss_evaluator.shallow_contrastive_projection_text.bias': (
        'inter_image_loss.projection_text.bias'
    ),
    'roi_heads.mask.feature_extractor.mask_fcn1.weight': (
        'bbox_head.mask_head.convs.0.conv.weight'
    ),
    'roi_heads.mask.predictor.conv5_mask.bias': 'bbox_head.mask_head.upsample.bias',
    'roi_heads.mask.predictor.dot_product_projection_text.weight': (
        'bbox_head.mask_head.projection_text.weight'
    ),
    'roi_heads.mask.predictor.log_scale': 'bbox_head.mask_head.log_scale',
    'roi_heads.mask.predictor.bias_lang': 'bbox_head.mask_head.bias_lang',
}


def test_the_parts_that_glip_lacks_have_a_place_in_the_model():
    model = build(head=MASKS, **INTER, **MLM)
    state = model.state_dict()
    official = {old: state[new] for old, new in OFFICIAL.items()}
    converted = convert({f'module.{name}': value for name, value in official.items()})
    assert converted.keys() == set(OFFICIAL.values())
    assert all(converted[new] is official[old] for old, new in OFFICIAL.items())
    assert not model.load_state_dict(converted, strict=False).unexpected_keys


def test_either_of_the_two_biases_will_do():
    one, other = torch.zeros(3), torch.ones(3)
    bias, decoder = 'rpn.head.mlm_head.bias', 'rpn.head.mlm_head.decoder.bias'
    assert convert({bias: one}) == {'mlm_head.decoder.bias': one}
    for both in ({bias: one, decoder: other}, {decoder: other, bias: one}):
        assert convert(both)['mlm_head.decoder.bias'] is other


def test_a_glip_checkpoint_starts_it_and_fresh_parts_are_told():
    plain = {
        'rpn.head.bbox_pred.weight': torch.ones(4, 16, 1, 1),
        'rpn.head.log_scale': torch.tensor([2.0]),
    }
    converted = convert(plain)
    model = build(head=MASKS, **INTER)
    result = model.load_state_dict(converted, strict=False)
    assert not result.unexpected_keys and model.bbox_head.alignment.log_scale.item() == 2
    assert 'inter_image_loss.log_scale' in result.missing_keys


def test_words_in_the_backbone():
    block = 'backbone.body.layers.3.blocks.1.'
    ours = 'backbone.stages.3.blocks.1.'
    names = {
        'attn.qkv_text.weight': 'attn.w_msa.qkv_text.weight',
        'attn.i2t_relative_position_bias': 'attn.w_msa.image_text_bias',
        'mlp_text.fc2.bias': 'ffn_text.layers.1.bias',
        'norm1_text.weight': 'norm1_text.weight',
    }
    own, rest = convert_parts({block + old: torch.zeros(1) for old in names})
    assert own.keys() == {ours + new for new in names.values()} and not rest
    own, rest = convert_parts({f'{block}attn.qkv.weight': torch.zeros(3, 1)})
    assert not own and list(rest) == [f'{block}attn.qkv.weight']


def test_unknown_names_are_listed():
    with pytest.raises(ValueError, match='roi_heads.mask.other'):
        convert({'roi_heads.mask.other': torch.zeros(1)})
