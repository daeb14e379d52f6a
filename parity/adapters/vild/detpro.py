"""Adapters of DetPro's re-implementation of ViLD: mmdet's layout, a sharper test temperature."""

import torch
from mmengine.config import ConfigDict
from torch import nn

from mmclip.models.vild.convert import convert
from mmclip.registry import MODELS
from parity.adapters.vild.heads import box_head
from parity.adapters.vild.shared import names
from parity.case import Case


def head_of(case: Case) -> nn.Module:
    """Our box head; the fixture's region features come from behind its dense layers."""
    config, text = case.config, case.inputs['text_features']
    sizes = dict(
        num_classes_incl_bg=len(text) + 1,
        clip_dim=text.shape[1],
        fc_dims=case.inputs['region_features'].shape[1],
        temperature=1 / config['temperature'],
        visual_feature_distill='double_branch' if config['ensemble'] else 'vanilla',
    )
    novel = [names(len(text))[index] for index in case.inputs['novel_ids'].tolist()]
    cfg = box_head(sizes, novel, width=1)
    cfg.novel_mask = 'exclude'
    head = MODELS.build(cfg)
    state = convert(case.state, text_features=text)
    own = {name.removeprefix('roi_head.bbox_head.'): value for name, value in state.items()}
    problems = head.load_state_dict(own, strict=False)
    trunk = ('shared_', 'image_convs', 'image_fcs', 'fc_reg')
    missing = [name for name in problems.missing_keys if not name.startswith(trunk)]
    if missing or problems.unexpected_keys:
        raise ValueError(f'missing {missing}, left over {problems.unexpected_keys}')
    return head


def detpro(case: Case) -> dict:
    head, inputs, config = head_of(case), case.inputs, case.config
    embeddings, labels = head.fc_cls(inputs['region_features']), inputs['labels']
    rois, boxes = torch.zeros(len(labels), 5), torch.zeros(len(labels), 4)
    loss = head.loss(
        head.fc_cls.logits(embeddings), None, rois, labels, rois[:, 0] + 1, boxes, boxes
    )['loss_cls']
    project = head.image_projection if head.image_branch else head.fc_cls
    student, teacher = project(inputs['image_region_features']), inputs['teacher_embedding']
    weight = config['kd_weight'] / teacher.shape[1]
    distill = MODELS.build(dict(type='mmclip.L1DistillLoss', loss_weight=weight))

    head.eval()
    test = ConfigDict(temperature=config['test_temperature'])
    logits = head.fc_cls.logits(embeddings)
    if head.image_branch:
        image = head.image_projection(inputs['test_image_region_features'])
        image = torch.nn.functional.normalize(image, dim=1)
        logits = torch.cat([head.classifier.class_logits(image), logits], 1)
    ((_, scores),) = head.score_chunks(logits, test)()
    # DetPro keeps a background column: what the softmax leaves over, 0 in the ensemble.
    rest = torch.zeros(len(scores), 1) if head.image_branch else 1 - scores.sum(1, keepdim=True)
    return {
        'text_cls_loss': loss,
        'kd_loss': distill(student, teacher, torch.ones(len(teacher), dtype=torch.bool)),
        'test_scores': torch.cat([scores, rest], 1),
    }


ADAPTERS = {'detpro_vild*': detpro}
