"""Adapters of ViLD's losses."""

import torch
from torch import nn

from mmclip.models.vild.distill_loss import distance_to_teacher
from mmclip.models.vild.rpn_head import nonzero_huber
from mmclip.registry import MODELS
from parity.adapters.vild.heads import bare_head
from parity.adapters.vild.shared import YX, anchor_deltas, background_last, model_config, nchw
from parity.case import Case


def class_loss(head: nn.Module, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Official logits (B, N, K + 1) and targets (0 background, -1 padding)."""
    labels = targets.flatten().long()
    labels = torch.where(labels == 0, head.num_classes, labels.clamp(min=0) - 1)
    labels = labels.where(targets.flatten() >= 0, -1)
    ours = background_last(logits).flatten(0, -2)
    rois, boxes = ours.new_zeros(len(ours), 5), ours.new_zeros(len(ours), 4)
    return head.loss(ours, None, rois, labels, rois[:, 0] + 1, boxes, boxes)['loss_cls']


def cls_loss(case: Case) -> dict:
    logits, targets = case.inputs['logits'], case.inputs['targets']
    out = {}
    for kind, name in (('official', 'masked'), (None, 'unmasked'), ('exclude', 'true_exclusion')):
        leaf = logits.clone().requires_grad_()
        loss = class_loss(bare_head(case, kind), leaf, targets)
        out[f'loss_{name}'] = loss
        if f'grad_{name}' in case.outputs:
            (out[f'grad_{name}'],) = torch.autograd.grad(loss, leaf)
    return out


def losses(case: Case) -> dict:
    inputs, config = case.inputs, case.config
    head = bare_head(case)
    fast_class = class_loss(head, inputs['class_logits'], inputs['class_targets'])
    labels = inputs['class_targets'].flatten().long()
    labels = torch.where(labels == 0, head.num_classes, labels.clamp(min=0) - 1)
    labels = labels.where(inputs['class_targets'].flatten() >= 0, -1)
    deltas, goals = (
        inputs[f'box_{name}'][..., YX].flatten(0, 1) for name in ('outputs', 'targets')
    )
    weights = torch.ones(len(labels))
    rois = torch.zeros(len(labels), 5)
    head.with_cls_loss = False
    box = head.loss(None, deltas, rois, labels, weights, goals, torch.ones_like(goals))['loss_bbox']

    student = inputs['distill_embedding'].clone().requires_grad_()
    valid = inputs['distill_boxes_yxyx'].amax(-1) > 0
    distill = distance_to_teacher(student, inputs['teacher_embedding'], valid)
    (gradient,) = torch.autograd.grad(distill, student)

    rpn_score, rpn_box = _rpn_losses(inputs, config)
    mask = _mask_loss(inputs)
    total = rpn_score + rpn_box + fast_class + box + mask
    return {
        'fast_rcnn_class_loss': fast_class,
        'fast_rcnn_box_loss': box,
        'feat_distill_loss': distill,
        'grad_distill_embedding': gradient,
        'valid_roi_ratio': valid.float().mean(),
        'rpn_score_loss': rpn_score,
        'rpn_box_loss': rpn_box,
        'mask_loss': mask,
        'model_loss': total + config['feat_distill_weight'] * distill,
    }


def _rpn_losses(inputs: dict, config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    levels = sorted(name.rsplit('_', 1)[1] for name in inputs if name.startswith('rpn_box_l'))
    anchors = inputs[f'rpn_score_{levels[0]}'].shape[-1]
    cfg = model_config().rpn_head
    cfg.anchor_generator.strides = cfg.anchor_generator.strides[: len(levels)]
    cfg.update(in_channels=4, feat_channels=4, huber_delta=config['rpn_huber_delta'])
    head = MODELS.build(cfg)
    assert head.num_base_priors == anchors
    batch = len(inputs[f'rpn_score_{levels[0]}'])
    average = batch * config['rpn_batch_size_per_im']
    score = box = torch.zeros(())
    for level in levels:
        target = inputs[f'rpn_score_target_{level}'].flatten().long()
        goals = anchor_deltas(inputs[f'rpn_box_target_{level}'])
        one_score, one_box = head.loss_by_feat_single(
            nchw(inputs[f'rpn_score_{level}']),
            nchw(anchor_deltas(inputs[f'rpn_box_{level}'])),
            None,
            (1 - target.clamp(min=0))[None],  # the host's foreground is class 0, background 1
            (target >= 0).float()[None],
            goals.reshape(1, -1, 4),
            None,
            avg_factor=average,
        )
        score, box = score + one_score, box + one_box
    check = nonzero_huber(torch.zeros(1, 4), torch.ones(1, 4), config['rpn_huber_delta'])
    assert check > 0
    return score, box


def _mask_loss(inputs: dict) -> torch.Tensor:
    cfg = model_config().roi_head.mask_head
    cfg.update(in_channels=4, conv_out_channels=4)
    head = MODELS.build(cfg)
    positive = inputs['mask_classes'].flatten() > 0
    logits = inputs['mask_logits'].flatten(0, 1)[positive][:, None]
    targets = inputs['mask_targets'].flatten(0, 1)[positive]
    return head.loss_mask(logits, targets, torch.zeros(len(logits), dtype=torch.long)).sum()


ADAPTERS = {
    'cls_loss': cls_loss,
    'losses': losses,
}
