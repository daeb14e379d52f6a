"""Checkpoints: the official layout, MMDetection's, and what neither knows."""

import pytest
import torch
from mmengine.config import Config

from mmclip import config_path
from mmclip.models.glip.convert import convert
from mmclip.registry import MODELS


def official() -> dict[str, torch.Tensor]:
    """Some names of each kind, as the official code writes them."""
    names = [
        'backbone.body.patch_embed.proj.weight',
        'backbone.body.layers.0.blocks.1.mlp.fc1.bias',
        'backbone.body.norm1.weight',
        'backbone.fpn.fpn_inner2.weight',
        'backbone.fpn.fpn_layer4.bias',
        'backbone.fpn.top_blocks.p6.weight',
        'language_backbone.body.model.encoder.layer.0.output.dense.weight',
        'rpn.head.dyhead_tower.3.b_attn.attn.values_v_proj.weight',
        'rpn.head.dyhead_tower.4.attention.self.query.bias',
        'rpn.head.dyhead_tower.5.DyConv.2.bn.weight',
        'rpn.head.bbox_pred.weight',
        'rpn.head.bias0',
    ]
    return {name: torch.full((4,), float(number)) for number, name in enumerate(names)}


OURS = [
    'backbone.patch_embed.projection.weight',
    'backbone.stages.0.blocks.1.ffn.layers.0.0.bias',
    'backbone.norm1.weight',
    'neck.lateral_convs.0.conv.weight',
    'neck.fpn_convs.2.conv.bias',
    'neck.fpn_convs.3.conv.weight',
    'text_encoder.bert.encoder.layer.0.output.dense.weight',
    'fusion.blocks.1.fusion.attention.value_v.weight',
    'fusion.blocks.1.text_layer.query.bias',
    'fusion.blocks.1.dyconv.finer.norm.weight',
    'bbox_head.reg.weight',
    'bbox_head.alignment.bias0',
]


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_official_names(prefix):
    unused = {
        'rpn.head.cls_logits.weight': torch.zeros(1),
        'rpn.anchor_generator.cell_anchors.0': torch.zeros(1),
        'language_backbone.body.model.embeddings.position_ids': torch.zeros(1),
        'language_backbone.body.model.pooler.dense.weight': torch.zeros(1),
    }
    state = {prefix + name: value for name, value in (official() | unused).items()}
    found = convert(state)
    assert {name: int(value[0]) for name, value in found.items()} == {
        name: number for number, name in enumerate(OURS)
    }


def test_without_fusion_a_block_is_one_module():
    state = {'rpn.head.dyhead_tower.3.DyConv.0.conv.bias': torch.zeros(2)}
    assert list(convert(state)) == ['fusion.blocks.3.dyconv.coarser.bias']


def test_merging_weights_are_permuted():
    """mmdet unfolds patches channel by channel; the official code puts four images in a row."""
    weight = torch.arange(8.0).view(1, 8)  # images (0,0), (1,0), (0,1), (1,1) of 2 channels
    name = 'backbone.body.layers.0.downsample.reduction.weight'
    (found,) = convert({name: weight}).values()
    assert found.tolist() == [[0, 4, 2, 6, 1, 5, 3, 7]]


def test_unknown_names_are_listed():
    with pytest.raises(ValueError, match='rpn.head.dyhead_tower.0.film.weight'):
        convert(
            {
                'rpn.head.dyhead_tower.0.film.weight': torch.zeros(1),
                'rpn.head.bias0': torch.zeros(1),
            }
        )


def mmdet_names(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters of MMDetection's own GLIP-T, put together from its classes."""
    from mmdet.models.dense_heads import atss_vlfusion_head as host
    from mmdet.models.utils import vlfuse_helper

    state = {}
    for part in ('backbone', 'neck'):
        module = getattr(model, part)
        state |= {f'{part}.{name}': value for name, value in module.state_dict().items()}
    bert = model.text_encoder.bert.state_dict()
    start = 'language_model.language_backbone.body.model.'
    state |= {start + name: value for name, value in bert.items()}
    with torch.device('meta'):
        for block in range(len(model.fusion.blocks)):
            parts = [
                vlfuse_helper.VLFuse(),
                None,
                host.DyConv(
                    lambda i, o, s: host.Conv3x3Norm(
                        i, o, s, groups=1, use_dcn=True, norm_type=['gn', 16]
                    ),
                    256,
                    256,
                    use_dyrelu=True,
                    use_dyfuse=True,
                    use_dcn=True,
                ),
            ]
            for place, module in enumerate(parts):
                tower = f'bbox_head.head.dyhead_tower.{3 * block + place}.'
                if module is not None:
                    state |= {tower + n: v for n, v in module.state_dict().items()}
                    continue
                text = model.text_encoder.bert.encoder.layer[0].state_dict()  # the same names
                state |= {tower + n: v for n, v in text.items()}
        head = 'bbox_head.head.'
        for name, module in dict(
            bbox_pred=torch.nn.Conv2d(256, 4, 1),
            centerness=torch.nn.Conv2d(256, 1, 1),
            dot_product_projection_text=torch.nn.Linear(768, 256),
        ).items():
            state |= {f'{head}{name}.{n}': v for n, v in module.state_dict().items()}
        for name, size in dict(log_scale=1, bias_lang=768, bias0=1).items():
            state[head + name] = torch.empty(size)
        for level in range(5):
            state[f'{head}scales.{level}.scale'] = torch.empty(())
    return state


def test_mmdets_glip_t_is_complete():
    """Names and shapes as MMDetection's classes have them; nothing is missing or left over."""
    cfg = Config.fromfile(config_path('glip/glip_b_swin-t_o365.py')).model
    cfg.backbone.update(drop_path_rate=0.0)
    model = MODELS.build(cfg)
    found = convert(mmdet_names(model))
    wanted = model.state_dict()
    assert {n: tuple(v.shape) for n, v in found.items()} == {
        n: tuple(v.shape) for n, v in wanted.items()
    }
