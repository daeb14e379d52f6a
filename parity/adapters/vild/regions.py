"""Adapters of ViLD's boxes, RoIs, pyramid, proposals and training targets."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmclip.models.layers.box_coder import LegacyDeltaXYWHBBoxCoder
from mmclip.models.vild.mask_head import targets_from_crops
from mmclip.registry import MODELS, TASK_UTILS
from parity.adapters.vild.data import jittered_boxes
from parity.adapters.vild.shared import (
    YX,
    anchor_deltas,
    load,
    model_config,
    nchw,
    nhwc,
    padded,
    rois_of,
    set_norms,
)
from parity.case import Case


def boxes(case: Case) -> dict:
    inputs = case.inputs
    height, width = inputs['clip_size'].tolist()
    free = LegacyDeltaXYWHBBoxCoder(clip_border=False)
    weighted = LegacyDeltaXYWHBBoxCoder(weights=(10, 10, 5, 5), clip_border=False)
    clipping = LegacyDeltaXYWHBBoxCoder()
    anchors, targets = inputs['anchors'][:, YX], inputs['boxes'][:, YX]
    deltas = inputs['deltas'][:, YX]
    none = torch.zeros_like(deltas)
    out = {
        'encoded': weighted.encode(anchors, targets),
        'decoded_w1': free.decode(anchors, deltas),
        'decoded_w10_10_5_5': weighted.decode(anchors, deltas),
        'clipped': clipping.decode(targets, none, max_shape=(height, width)),
    }
    return {name: value[:, YX] for name, value in out.items()} | jittered_boxes(case)


def roi_align(case: Case) -> dict:
    out = {}
    for part in ('a', 'b'):
        low, high = case.config[f'{part}_levels']
        size = case.config[f'{part}_output_size']
        feats = [nchw(case.inputs[f'{part}_level{level}']) for level in range(low, high + 1)]
        extractor = MODELS.build(
            dict(
                type='mmclip.CenterRoIExtractor',
                roi_layer=dict(output_size=size),
                out_channels=feats[0].shape[1],
                featmap_strides=[2**level for level in range(low, high + 1)],
                # RoIs of this size and smaller belong to the first level.
                finest_scale=56 * 2 ** (low - 2),
            )
        )
        given = case.inputs[f'{part}_boxes_yxyx']
        rois = rois_of(given)
        levels = extractor.map_roi_levels(rois, len(feats)) + low
        out[f'{part}_levels'] = levels.view(given.shape[:2])
        out[f'{part}_out{size}'] = nhwc(extractor(feats, rois)).unflatten(0, given.shape[:2])
    return out


def rpn_head(config: dict, channels: int, levels: Sequence[int]) -> ConfigDict:
    cfg = model_config()
    head = cfg.rpn_head
    head.update(in_channels=channels, num_convs=config.get('rpn_num_convs', 2))
    head.feat_channels = config.get('rpn_num_filters', channels)
    ratios = config.get('aspect_ratios', [1.0, 2.0, 0.5])
    head.anchor_generator.update(
        scales=[config.get('anchor_size', 8)],
        ratios=[1 / ratio for ratio in ratios],  # the host's are height over width
        strides=[2**level for level in levels],
    )
    head.update(train_cfg=cfg.train_cfg.rpn, test_cfg=cfg.test_cfg.rpn, num_classes=1)
    set_norms(head, config)
    return head


def proposals(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    levels = sorted(int(name[-1]) for name in inputs if name.startswith('rpn_score_'))
    head = MODELS.build(rpn_head(config, 4, levels))
    scores = [nchw(inputs[f'rpn_score_{level}']) for level in levels]
    deltas = [nchw(anchor_deltas(inputs[f'rpn_box_{level}'])) for level in levels]
    metas = [dict(img_shape=tuple(shape.tolist())) for shape in inputs['image_shape']]
    out = {}
    for mode in ('test', 'train'):
        cfg = ConfigDict(
            head.test_cfg,
            nms_pre=config[f'{mode}_pre'],
            max_per_img=config[f'{mode}_post'],
            nms=dict(type='nms', iou_threshold=config['nms']),
        )
        found = head.predict_by_feat(scores, deltas, batch_img_metas=metas, cfg=cfg)
        count = config[f'{mode}_post']
        out[f'{mode}_rois_yxyx'] = padded([one.bboxes[:, YX] for one in found], count, 0)
        out[f'{mode}_scores'] = padded([one.scores for one in found], count, 0)
    return out


def fpn_rpn(case: Case) -> dict:
    config = case.config
    levels = range(config['min_level'], config['max_level'] + 1)
    inputs = [case.inputs[f'backbone_{level}'] for level in levels if level <= 5]
    neck = model_config().neck
    neck.update(
        in_channels=[x.shape[-1] for x in inputs],
        out_channels=config['fpn_feat_dims'],
        num_outs=len(levels),
    )
    set_norms(neck, config)
    neck = load(MODELS.build(neck), case.state, 'neck.')
    head = MODELS.build(rpn_head(config, config['fpn_feat_dims'], levels))
    load(head, case.state, 'rpn_head.')
    with torch.no_grad():
        maps = neck([nchw(x) for x in inputs])
        scores, deltas = head(maps)
    priors = head.prior_generator.grid_priors([x.shape[-2:] for x in maps], device='cpu')
    out = {}
    for index, level in enumerate(levels):
        out[f'fpn_{level}'] = nhwc(maps[index])
        out[f'rpn_score_{level}'] = nhwc(scores[index])
        out[f'rpn_box_{level}'] = anchor_deltas(nhwc(deltas[index]))
        out[f'anchors_{level}'] = priors[index][:, YX]
    return out


def roi_targets(case: Case) -> dict:
    cfg = model_config()
    assigner = TASK_UTILS.build(cfg.train_cfg.rcnn.assigner)
    coder = TASK_UTILS.build(cfg.roi_head.bbox_head.bbox_coder)
    rows = [
        targets_of_one({k: v[index] for k, v in case.inputs.items()}, case.config, assigner, coder)
        for index in range(len(case.inputs['proposals_yxyx']))
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def targets_of_one(inputs: dict, config: dict, assigner: Any, coder: Any) -> dict:
    """The official output of one image from the host's assigner; padded truth is left out.

    Sub-sampling is left out too. The official code keeps the row of the best box also for
    background (0 where nothing overlaps), and counts its index as 0.
    """
    given = inputs['gt_boxes_yxyx']
    real = (given >= 0).all(1)
    truth, classes = given[real][:, YX], inputs['gt_classes'][real].long()
    rois = torch.cat([inputs['proposals_yxyx'], given if config['mix_gt_boxes'] else given[:0]])
    found = assigner.assign(
        InstanceData(priors=rois[:, YX]), InstanceData(bboxes=truth, labels=classes)
    )
    positive = found.gt_inds > 0
    index = (found.gt_inds - 1).clamp(min=0)
    best = assigner.iou_calculator(rois[:, YX], truth).max(1)
    nearest = truth[best.indices] * (best.values > 0)[:, None]
    labels = torch.where(positive, found.labels, 0)
    deltas = coder.encode(rois[:, YX], truth[index]) * positive[:, None]
    count = config['num_mask_samples_per_image']
    chosen = positive.int().argsort(descending=True, stable=True)[:count]
    masks = targets_from_crops(
        inputs['gt_masks'][index[chosen]],
        truth[index[chosen]],
        rois[chosen][:, YX],
        config['mask_target_size'],
    )
    return {
        'rois': rois,
        'matched_boxes': nearest[:, YX],
        'matched_classes': labels,
        'matched_indices': index * positive,
        'box_targets': deltas[:, YX],
        'mask_rois': rois[chosen],
        'mask_classes': labels[chosen],
        'mask_targets': masks,
    }


ADAPTERS = {
    'boxes': boxes,
    'roi_align': roi_align,
    'proposals': proposals,
    'fpn_rpn': fpn_rpn,
    'roi_targets': roi_targets,
}
