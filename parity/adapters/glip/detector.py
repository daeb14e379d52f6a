"""Adapters of whole GLIP detectors, and of their backbone and pyramid."""

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmclip.models.glip.convert import convert
from mmclip.models.glip.fpn import drop_block
from mmclip.models.glip.head import inclusive
from mmclip.registry import MODELS
from parity.adapters.glip.head import anchor_config, by_score, exclusive
from parity.adapters.glip.parts import load, numbered, raw_outputs, renumbered, shapes_of
from parity.case import Case, Comparison


def swin_config(config: dict) -> dict:
    return dict(
        type='mmdet.SwinTransformer',
        embed_dims=config['embed_dim'],
        depths=config['depths'],
        num_heads=config['num_heads'],
        window_size=config['window_size'],
        drop_path_rate=0.0,
    )


def fpn_config(swin: dict, channels: int) -> dict:
    return dict(
        type='mmclip.DropBlockFPN',
        in_channels=swin['out_channels'][1:],
        out_channels=channels,
        num_outs=5,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
        drop_prob=0.0,
    )


@torch.no_grad()
def swin_fpn(case: Case) -> dict:
    config = case.config
    backbone = MODELS.build(swin_config(config) | dict(out_indices=(1, 2, 3)))
    neck = MODELS.build(fpn_config(config, config['fpn_channels']))
    state = convert({f'backbone.{name}': value for name, value in case.state.items()})
    both = nn.ModuleDict(dict(backbone=backbone, neck=neck))
    load(both, state)
    stages = backbone(case.inputs['image'])
    # Stride 4 has no norm of its own and is not used; the official list holds it as it is.
    first = first_stage(backbone, case.inputs['image'])
    body = renumbered([first, *stages], 'body')
    return body | renumbered(neck(stages), 'fpn')


def first_stage(backbone: nn.Module, image: torch.Tensor) -> torch.Tensor:
    x, shape = backbone.patch_embed(image)
    _, _, out, out_shape = backbone.stages[0](backbone.drop_after_pos(x), shape)
    return out.transpose(1, 2).unflatten(2, out_shape)


def fpn_dropblock(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    out = drop_block(inputs['x'], inputs['uniform'], config['drop_prob'], config['block_size'])
    return {'out': out}


def detector_config(config: dict) -> dict:
    bert, channels = config['bert'], config['fpn_channels']
    fused = config['variant'] != 'glip_a'
    return dict(
        type='mmclip.GLIPDetector',
        backbone=swin_config(config['swin']) | dict(out_indices=(1, 2, 3)),
        neck=fpn_config(config['swin'], channels),
        text_encoder=dict(
            type='mmclip.BertTokenEncoder',
            tokenizer=dict(type='mmclip.BertTokens', source=config['tokenizer']['vocab']),
            config=dict(
                hidden_size=bert['hidden_size'],
                num_attention_heads=bert['heads'],
                intermediate_size=bert['intermediate'],
                num_hidden_layers=bert['layers'],
                max_position_embeddings=bert['max_position'],
                vocab_size=bert['vocab'],
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            max_tokens=config['max_query_len'],
        ),
        fusion=dict(
            type='mmclip.DeepFusionNeck',
            channels=channels,
            num_blocks=config['num_convs'],
            fusion=dict(
                embed_dim=config['fusion']['embed_dim'],
                num_heads=config['fusion']['heads'],
                dropout=0.0,
            )
            if fused
            else None,
            text_layer=dict(
                kind='bert',
                num_heads=bert['heads'],
                hidden_dim=bert['intermediate'],
                dropout=0.0,
            ),
            dyconv=dict(norm_groups=config['gn_groups']),
        ),
        bbox_head=dict(
            type='mmclip.GLIPHead',
            channels=channels,
            fused_text=fused,
            anchor_generator=anchor_config([8, 16, 32, 64, 128], config['anchor_sizes']),
        ),
        test_cfg=dict(max_per_img=config['detections_per_img']),
    )


def end_to_end(case: Case) -> dict | list:
    config, inputs = case.config, case.inputs
    model = MODELS.build(detector_config(config))
    load(model, convert(case.state))
    images, found = inputs['images'], {}
    shape = tuple(images.shape[2:])
    samples = []
    for text, spans, boxes in zip(
        config['captions'], config['spans'], numbered(inputs, 'gt_boxes'), strict=True
    ):
        # In the fixture each box has a phrase of its own.
        one = InstanceData(bboxes=exclusive(boxes), labels=torch.arange(len(boxes)))
        metainfo = dict(text=text, phrase_spans=spans, img_shape=shape, scale_factor=(1.0, 1.0))
        samples.append(DetDataSample(metainfo=metainfo, gt_instances=one))
    batch, maps = model.read_samples(samples)
    width = batch.ids.shape[1]
    checks = [Comparison('ids', batch.ids, inputs['train_input_ids'][:, :width])]
    for number, rows in enumerate(maps):
        reference = inputs[f'positive_maps.{number}'][:, :width] > 0
        checks.append(Comparison(f'map {number}', rows.int(), reference.int()))
    losses = model.train().loss(images, samples)
    sum(losses.values()).backward()
    found['losses.loss_cls'] = torch.zeros(())
    found['losses.loss_reg'] = losses['loss_bbox']
    found['losses.loss_centerness'] = losses['loss_centerness']
    found['losses.loss_dot_product_token'] = losses['loss_token']
    found |= gradients(case, model)
    found |= detections(case, model, images, shape)
    return checks + [Comparison(n, v, case.outputs[n]) for n, v in found.items()]


def gradients(case: Case, model: nn.Module) -> dict:
    """Gradients under the official names: which of ours is which, the converter says."""
    parameters, found = dict(model.named_parameters()), {}
    for name in case.outputs:
        if not name.startswith('grads.'):
            continue
        official = name.removeprefix('grads.')
        marker = {other: torch.empty(0) for other in case.state if 'b_attn' in other}
        (ours,) = set(convert(marker | {official: case.state[official]})) - (
            set(convert(marker)) if official not in marker else others(marker, official)
        )
        found[name] = parameters[ours].grad.reshape(case.outputs[name].shape)
    return found


def others(marker: dict, official: str) -> set:
    return set(convert({name: value for name, value in marker.items() if name != official}))


@torch.no_grad()
def detections(case: Case, model: nn.Module, images: torch.Tensor, shape: tuple) -> dict:
    config = case.config
    model.eval()
    query = config['test_query']
    model.set_classes(query.split('. '))
    texts, *_, batch = model.vocabulary.captions
    assert texts == [query]
    text = model.encode_text(batch.ids, batch.mask)
    width = case.outputs['lang_hidden'].shape[1]
    # The fixture shows some of the padding, which ours never has.
    padded = model.text_encoder.tokenizer([query], width, pad=True)
    full = model.encode_text(padded.ids, padded.mask)
    both = {name: value.expand(len(images), *value.shape[1:]) for name, value in full.items()}
    features, fused = model.fusion(model.extract_feat(images), both)
    boxes, logits = model.bbox_head(features, fused)
    found = raw_outputs(boxes, logits, shapes_of(features), 'dot_product_logits')
    found['lang_hidden'] = both['hidden']
    short = text['hidden'].shape[1]
    assert torch.allclose(text['hidden'], full['hidden'][:, :short], atol=1e-5)
    meta = dict(img_shape=shape, scale_factor=(1.0, 1.0))
    samples = [DetDataSample(metainfo=meta) for _ in images]
    for number, sample in enumerate(model.predict(images, samples)):
        one = sample.pred_instances
        ordered = by_score(inclusive(one.bboxes), one.scores, one.labels)
        found |= {f'detections.{number}.{key}': value for key, value in ordered.items()}
    return found


ADAPTERS = {
    'swin_fpn': swin_fpn,
    'fpn_dropblock': fpn_dropblock,
    'end2end_*': end_to_end,
}
