"""Distillation: the loss, and how regions of the teacher go through the RoI heads."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.testing import demo_mm_inputs
from mmengine import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmclip import config_path
from mmclip.models.vild.distill_loss import L1DistillLoss, distance_to_teacher
from mmclip.registry import MODELS

NAMES = ['cat', 'dog', 'red car', 'tree']


def test_loss_by_hand():
    student = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
    teacher = torch.tensor([[0.0, 5.0], [0.0, 1.0], [-1.0, 0.0]])
    valid = torch.tensor([True, True, False])
    # |0.6 - 0| + |0.8 - 1| = 0.8 and 0, over two valid regions
    torch.testing.assert_close(
        L1DistillLoss(loss_weight=0.5)(student, teacher, valid), torch.tensor(0.2)
    )
    squares = L1DistillLoss(loss_weight=1.0, norm='l2')(student, teacher, valid)
    torch.testing.assert_close(squares, torch.tensor((0.36 + 0.04) / 2))


def test_loss_is_detpros_256_times_the_mean_for_512_dimensions():
    student, teacher = torch.randn(2, 9, 512)
    every = torch.ones(9, dtype=torch.bool)
    detpro = 256 * F.l1_loss(F.normalize(student, dim=1), F.normalize(teacher, dim=1))
    torch.testing.assert_close(L1DistillLoss(loss_weight=0.5)(student, teacher, every), detpro)


def test_no_valid_region():
    student = torch.randn(2, 4, requires_grad=True)
    loss = L1DistillLoss()(student, torch.randn(2, 4), torch.zeros(2, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and not student.grad.any()
    empty = torch.empty(0, 4)
    assert distance_to_teacher(empty, empty, torch.empty(0, dtype=torch.bool)) == 0


def test_bad_settings():
    with pytest.raises(ValueError, match="norm: 'l3' is none of l1, l2"):
        L1DistillLoss(norm='l3')
    with pytest.raises(ValueError, match='was the store made by another CLIP'):
        L1DistillLoss()(torch.randn(1, 4), torch.randn(1, 8), torch.tensor([True]))


def build(fill, *, cascade=False, image_branch=False, with_norm=False, **kwargs):
    init_default_scope('mmdet')
    cfg = Config.fromfile(config_path('vild/mini/vild_text_r18_mini.py')).model
    cfg.backbone.pretrained = None
    head, rcnn = cfg.roi_head, cfg.train_cfg.rcnn
    head.bbox_head.classifier.update(
        classes=NAMES, text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip')
    )
    head.bbox_head.update(novel_classes=['tree'], image_branch=image_branch, **kwargs)
    if with_norm:
        head.bbox_head.fc_norm_cfg = dict(type='BN1d', momentum=1.0)
    head.update(type='mmclip.ViLDRoIHead', loss_distill=dict(type='mmclip.L1DistillLoss'))
    if cascade:
        head.update(type='mmclip.ViLDCascadeRoIHead', num_stages=2, stage_loss_weights=[1, 0.5])
        cfg.train_cfg.rcnn = [rcnn, rcnn.copy()]
    torch.manual_seed(0)
    return fill(MODELS.build(cfg)).train()


def batch(model, counts=(3, 2)):
    data = demo_mm_inputs(2, [[3, 96, 128], [3, 128, 64]], num_items=[2, 2], num_classes=3)
    generator = torch.Generator().manual_seed(5)
    for sample, count in zip(data['data_samples'], counts, strict=True):
        corner = torch.rand(count, 2, generator=generator) * 40
        sample.distill_instances = InstanceData(
            bboxes=torch.cat([corner, corner + 20], 1),
            embeddings=F.normalize(torch.randn(count, 128, generator=generator), dim=1),
            valid=torch.arange(count) != 1,
        )
    return model.data_preprocessor(data, True)


def losses_of(model, data):
    losses = model.loss(data['inputs'], data['data_samples'])
    return {k: sum(v) if isinstance(v, list) else v for k, v in losses.items()}


@pytest.mark.parametrize('image_branch', [False, True])
def test_valid_regions_are_distilled_into_the_right_projection(
    fill_with_random_embeddings, image_branch
):
    model = build(fill_with_random_embeddings, image_branch=image_branch)
    data = batch(model)
    losses = losses_of(model, data)
    head = model.roi_head.bbox_head
    x = model.extract_feat(data['inputs'])
    regions = [s.distill_instances[s.distill_instances.valid] for s in data['data_samples']]
    rois = torch.cat(
        [F.pad(r.bboxes, (1, 0), value=float(index)) for index, r in enumerate(regions)]
    )
    feats = model.roi_head.bbox_roi_extractor(x[:3], rois)
    student = head.embed_image(feats) if image_branch else head.embed(feats)[0]
    teacher = torch.cat([r.embeddings for r in regions])
    expected = 0.5 * (F.normalize(student, dim=1) - teacher).abs().sum(1).mean()
    assert len(teacher) == 3
    torch.testing.assert_close(losses['loss_distill'], expected, rtol=1e-4, atol=1e-5)
    losses['loss_distill'].backward()
    touched = {name.split('.')[0] for name, p in head.named_parameters() if p.grad is not None}
    own = {'image_fcs', 'image_projection'} if image_branch else {'shared_fcs', 'fc_cls'}
    assert touched == own


def test_with_one_trunk_the_norms_see_both_sets_of_regions(fill_with_random_embeddings):
    model = build(fill_with_random_embeddings, with_norm=True)
    head, seen = model.roi_head.bbox_head, []
    head.shared_fcs[0].register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    losses_of(model, batch(model))
    sampled = 2 * 48
    assert len(seen) == 1 and seen[0] <= sampled + 3 and seen[0] > 3
    double = build(fill_with_random_embeddings, with_norm=True, image_branch=True)
    head, own = double.roi_head.bbox_head, []
    head.image_fcs[0].register_forward_pre_hook(lambda module, args: own.append(len(args[0])))
    losses_of(double, batch(double))
    assert own == [3]


@pytest.mark.parametrize('counts', [(3, 2), (0, 0), (0, 1)])
@pytest.mark.parametrize('cascade', [False, True])
def test_trains_with_few_or_no_regions(fill_with_random_embeddings, counts, cascade):
    model = build(fill_with_random_embeddings, cascade=cascade, with_norm=True)
    losses = losses_of(model, batch(model, counts))
    names = {name for name in losses if 'distill' in name}
    assert names == ({'s0.loss_distill', 's1.loss_distill'} if cascade else {'loss_distill'})
    sum(v.sum() for name, v in losses.items() if 'loss' in name).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_vild_image_learns_no_words(fill_with_random_embeddings):
    model = build(fill_with_random_embeddings, with_cls_loss=False)
    losses = losses_of(model, batch(model))
    assert 'loss_cls' not in losses and losses['loss_distill'] > 0


def test_missing_regions_name_the_transforms(fill_with_random_embeddings):
    model = build(fill_with_random_embeddings)
    data = batch(model)
    del data['data_samples'][1].distill_instances
    with pytest.raises(ValueError, match='mmclip.LoadTeacherEmbeddings'):
        losses_of(model, data)
    assert isinstance(model.roi_head, nn.Module) and model.roi_head._regions is None
