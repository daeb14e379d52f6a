"""Adapters of GLIP's anchors, targets, losses and post-processing."""

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData

from mmclip.models.glip.fusion import to_positions
from mmclip.models.glip.head import CODER, Boxes, GLIPHead, inclusive
from mmclip.models.glip.losses import TokenFocalLoss
from mmclip.models.glip.post_process import phrase_scores
from mmclip.models.glip.targets import token_targets
from mmclip.models.layers.box_coder import LegacyDeltaXYWHBBoxCoder
from mmclip.registry import TASK_UTILS
from parity.adapters.glip.parts import numbered, renumbered
from parity.case import Case


def anchor_config(strides: Sequence[int], sizes: Sequence[int]) -> dict:
    return dict(
        type='mmdet.AnchorGenerator',
        strides=list(strides),
        base_sizes=list(sizes),
        ratios=[1.0],
        scales=[1.0],
        centers=[(stride / 2, stride / 2) for stride in strides],
    )


def small_head(strides: Sequence[int], sizes: Sequence[int], **settings: object) -> GLIPHead:
    return GLIPHead(
        channels=8, text_dim=8, anchor_generator=anchor_config(strides, sizes), **settings
    )


def anchors(case: Case) -> dict:
    config = case.config
    head = small_head(config['strides'], config['sizes'])
    sizes = [tuple(size) for size in case.inputs['feature_sizes'].tolist()]
    levels = [inclusive(level) for level in head.anchor_generator.grid_priors(sizes, device='cpu')]
    found = renumbered(levels, 'anchors')
    for image, (height, width) in enumerate(case.inputs['image_sizes'].tolist()):
        edge, limit = config['straddle_thresh'], torch.tensor([width, height])
        for number, level in enumerate(levels):
            inside = (level[:, :2] >= -edge).all(1) & (level[:, 2:] < limit + edge).all(1)
            found[f'visibility.{image}.{number}'] = inside
    return found


def box_coder(case: Case) -> dict:
    coder = LegacyDeltaXYWHBBoxCoder(weights=case.config['weights'])
    inputs = case.inputs
    return {
        'encoded': coder.encode(inputs['anchors'], inputs['gt']),
        'decoded': coder.decode(inputs['anchors'], inputs['deltas']),
    }


def exclusive(boxes: torch.Tensor) -> torch.Tensor:
    """Official boxes in the host's convention."""
    return boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])


def truth(inputs: dict) -> list[InstanceData]:
    """Objects of the images, each of which has a phrase of its own in the fixture's map."""
    boxes, found, start = numbered(inputs, 'gt_boxes'), [], 0
    for one in boxes:
        labels = torch.arange(start, start + len(one))
        found.append(InstanceData(bboxes=exclusive(one), labels=labels))
        start += len(one)
    return found


def atss_targets(case: Case) -> dict:
    inputs, found, counts = case.inputs, {}, []
    head = small_head([8], [8])
    levels = list(numbered(inputs, 'anchors'))
    everything = torch.cat(levels)
    coder = TASK_UTILS.build(CODER)
    instances = truth(inputs)
    for number, (targets, one) in enumerate(
        zip(head.get_targets(levels, instances), instances, strict=True)
    ):
        labels = inputs[f'gt_labels.{number}']
        found[f'labels.{number}'] = torch.where(
            targets.positive, labels[targets.objects.clamp(min=0)], 0
        )
        # The official code encodes the boxes of the others too, by the first object.
        found[f'reg_targets.{number}'] = coder.encode(everything, targets.boxes)
        found[f'token_labels.{number}'] = token_targets(
            targets.objects, one.labels, inputs['positive_map'], no_object=True
        ) * _shares(targets, one, inputs['positive_map'])
        counts.append(int(targets.positive.sum()))
    return found | {'num_pos': torch.tensor(counts)}


def _shares(targets: object, one: InstanceData, maps: torch.Tensor) -> torch.Tensor:
    """The fixture's targets are still normalized; the loss makes them 0 or 1."""
    rows = maps[one.labels][targets.objects.clamp(min=0)]
    return torch.where(targets.positive[:, None] & (rows > 0), rows, 1.0)


def atss_losses(case: Case) -> dict:
    inputs, config = case.inputs, case.config
    reg, centerness, logits = (
        [level.clone().requires_grad_() for level in numbered(inputs, name)]
        for name in ('bbox_reg', 'centerness', 'dot_product_logits')
    )
    head = small_head(
        [8],
        [8],
        loss_token=dict(
            type='mmclip.TokenFocalLoss', alpha=config['token_alpha'], gamma=config['token_gamma']
        ),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=config['reg_loss_weight']),
        no_object=True,
    )
    boxes = boxes_of(inputs, reg, centerness)
    instances = truth(inputs)
    losses = head.loss_by_targets(
        boxes,
        torch.cat(logits, 1),
        inputs['text_mask'].bool(),
        head.get_targets(boxes.anchors, instances),
        instances,
        [inputs['positive_map']] * len(instances),
    )
    sum(losses.values()).backward()
    names = dict(loss_reg='loss_bbox', loss_centerness='loss_centerness')
    names['loss_dot_product_token'] = 'loss_token'
    found = {official: losses[ours] for official, ours in names.items()}
    for name, levels in dict(
        bbox_reg=reg, centerness=centerness, dot_product_logits=logits
    ).items():
        found |= renumbered([level.grad for level in levels], f'grad_{name}')
    return found


def boxes_of(inputs: dict, reg: Sequence, centerness: Sequence) -> object:
    return Boxes(
        torch.zeros(0),
        to_positions(reg),
        to_positions(centerness)[..., 0],
        list(numbered(inputs, 'anchors')),
    )


def token_focal_loss(case: Case) -> dict:
    inputs, found = case.inputs, {}
    for name in case.outputs:
        if name.endswith('_grad'):
            continue
        version, alpha, gamma, *rest = name.split('_')
        loss = TokenFocalLoss(
            alpha=float(alpha[1:]),
            gamma=float(gamma[1:]),
            version=version,
        )
        mask = inputs['text_mask'].bool()
        if rest == ['nomask']:
            mask = None
        logits = inputs['logits'].clone().requires_grad_()
        found[name] = loss(logits, inputs['targets'], mask)
        if f'{name}_grad' in case.outputs:
            found[f'{name}_grad'] = torch.autograd.grad(found[name], logits)[0]
    return found


def rows_of(label_to_tokens: dict, width: int, count: int | None = None) -> torch.Tensor:
    """(K, T) of the fixture's 1-based labels; by default only those that have tokens."""
    labels = range(1, count + 1) if count else sorted(map(int, label_to_tokens))
    rows = torch.zeros(len(labels), width)
    for place, label in enumerate(labels):
        rows[place, label_to_tokens.get(str(label), [])] = 1
    return rows


def score_aggregation(case: Case) -> dict:
    config, probs, found = case.config, case.inputs['token_probs'], {}
    for name in case.outputs:
        version, how = name.split('_')
        count = None if how == 'ONEHOT' else config[f'num_classes_{version}']
        rows = rows_of(config['label_to_tokens'], probs.shape[2], count)
        found[name] = torch.stack([phrase_scores(one, rows, how) for one in probs])
    return found


def by_score(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> dict:
    order = scores.argsort(descending=True, stable=True)
    return dict(boxes=boxes[order], scores=scores[order], labels=labels[order] + 1)


def postprocess(case: Case) -> dict:
    config, inputs, found = case.config, case.inputs, {}
    head = small_head(
        [8],
        [8],
        test_cfg=dict(
            score_thr=config['pre_nms_thresh'],
            nms_pre=config['pre_nms_top_n'],
            nms_iou=config['nms_thresh'],
            max_per_img=config['detections_per_img'],
            score_agg=config['score_agg'],
        ),
    )
    boxes = boxes_of(inputs, numbered(inputs, 'bbox_reg'), numbered(inputs, 'centerness'))
    logits = torch.cat(numbered(inputs, 'dot_product_logits'), 1)
    rows = rows_of(config['label_to_tokens'], logits.shape[2], config['num_classes'])
    metas = [dict(img_shape=tuple(shape)) for shape in inputs['image_sizes_hw'].tolist()]
    results = head.predict(boxes, logits, [rows] * len(metas), metas)
    for number, (result, meta) in enumerate(zip(results, metas, strict=True)):
        decoded = head.decode(boxes, meta['img_shape'], number)
        early = head.pre_nms(decoded, boxes.centerness[number], boxes.sizes, logits[number], rows)
        last = by_score(result.bboxes, result.scores, result.labels)
        for key in ('boxes', 'scores', 'labels'):
            found[f'detections.{number}.{key}'] = last[key]
            found[f'pre_nms.{number}.{key}'] = by_score(*early)[key]
    return found


ADAPTERS = {
    'anchors_*': anchors,
    'box_coder': box_coder,
    'atss_targets': atss_targets,
    'atss_losses': atss_losses,
    'token_focal_loss': token_focal_loss,
    'score_aggregation': score_aggregation,
    'postprocess': postprocess,
}
