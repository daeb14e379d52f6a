"""The detector inside Faster, Mask and Cascade R-CNN: losses, detections, words at run time."""

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine import Config
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.registry import MODELS

NAMES = ['cat', 'dog', 'red car', 'tree', 'zebra', 'yak']
KINDS = ('faster', 'mask', 'cascade', 'cascade_mask')
MASK_HEAD = dict(
    type='mmclip.ViLDMaskHead',
    num_convs=1,
    in_channels=64,
    conv_out_channels=8,
    norm_cfg=dict(type='BN'),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True),
)


def small_model(kind: str) -> ConfigDict:
    """The MiniWorld detector with six classes, random weights, and another RoI head."""
    cfg = Config.fromfile(config_path('vild/mini/vild_text_r18_mini.py')).model
    cfg.backbone.pretrained = None
    head, rcnn = cfg.roi_head, cfg.train_cfg.rcnn
    head.bbox_head.classifier.update(
        classes=NAMES, text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip')
    )
    head.bbox_head.novel_classes = ['yak']
    if 'mask' in kind:
        rcnn.mask_size = 14
        head.mask_head = ConfigDict(MASK_HEAD)
        head.mask_roi_extractor = ConfigDict(head.bbox_roi_extractor)
        cfg.test_cfg.rcnn.mask_thr_binary = 0.5
    if 'cascade' in kind:
        head.update(type='mmdet.CascadeRoIHead', num_stages=2, stage_loss_weights=[1, 0.5])
        cfg.train_cfg.rcnn = [rcnn, rcnn.copy()]
    return cfg


@pytest.fixture(params=KINDS)
def detector(request, fill_with_random_embeddings):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(small_model(request.param))
    model.kind = request.param
    return fill_with_random_embeddings(model)


def batch(model, items=(3, 2)):
    shapes = [[3, 96, 128], [3, 128, 64]]
    data = demo_mm_inputs(
        2, shapes, num_items=list(items), num_classes=5, with_mask='mask' in model.kind
    )
    return model.data_preprocessor(data, True)


@pytest.mark.parametrize('items', [(3, 2), (0, 2), (0, 0)])
def test_trains_also_without_any_box(detector, items):
    data = batch(detector, items)
    losses = detector.train().loss(data['inputs'], data['data_samples'])
    total = sum(
        sum(v) if isinstance(v, list) else v for name, v in losses.items() if 'loss' in name
    )
    total.sum().backward()
    heads = detector.roi_head.bbox_head
    for head in heads if 'cascade' in detector.kind else [heads]:
        assert head.fc_cls.projection.weight.grad.isfinite().all()
        assert not head.classifier.embeddings.requires_grad
        assert head.classifier.background.grad is not None


def test_detects_other_words_after_set_classes(detector):
    data = batch(detector)
    detector.eval()
    with torch.no_grad():
        before = detector.predict(data['inputs'], data['data_samples'], rescale=False)
        before = [sample.pred_instances.clone() for sample in before]
        assert any(len(found) for found in before)
        # The same words in another order: the same boxes under other numbers.
        detector.set_classes(NAMES[::-1])
        after = detector.predict(data['inputs'], data['data_samples'], rescale=False)
    assert detector.class_names == tuple(NAMES[::-1])
    for old, new in zip(before, after, strict=True):
        new = new.pred_instances
        torch.testing.assert_close(new.scores, old.scores)
        assert torch.equal(new.labels, 5 - old.labels)
        assert ('masks' in new) == ('mask' in detector.kind)


def test_chunks_of_classes_change_nothing(detector):
    data = batch(detector)
    detector.eval()
    results = []
    with torch.no_grad():
        for chunk in (8192, 4):
            for module in detector.modules():
                if hasattr(module, 'class_chunk'):
                    module.class_chunk = chunk
            found = detector.predict(data['inputs'], data['data_samples'], rescale=False)
            results.append([sample.pred_instances.clone() for sample in found])
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole.scores, chunked.scores)
        torch.testing.assert_close(whole.bboxes, chunked.bboxes)
        assert torch.equal(whole.labels, chunked.labels)


def test_features_reach_roi_align_contiguous(detector):
    detector.eval().to(memory_format=torch.channels_last)
    x = torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert all(level.is_contiguous() for level in detector.extract_feat(x))


def test_loads_a_checkpoint_of_another_vocabulary(fill_with_random_embeddings):
    init_default_scope('mmdet')
    cfg = small_model('faster')
    trained = fill_with_random_embeddings(MODELS.build(cfg.copy()))
    cfg.roi_head.bbox_head.classifier.classes = ['tree', 'cat']
    other = MODELS.build(cfg)
    other.load_state_dict(trained.state_dict())
    rows = dict(zip(NAMES, trained.roi_head.bbox_head.classifier.embeddings, strict=True))
    known = dict(
        zip(
            other.roi_head.bbox_head.class_names,
            other.roi_head.bbox_head.classifier.embeddings,
            strict=True,
        )
    )
    torch.testing.assert_close(known['cat'], rows['cat'])


def test_the_data_set_says_which_classes_are_novel(fill_with_random_embeddings):
    init_default_scope('mmdet')
    cfg = small_model('cascade')
    cfg.roi_head.bbox_head.novel_classes = 'dataset'
    model = fill_with_random_embeddings(MODELS.build(cfg))
    heads = model.roi_head.bbox_head
    assert not any(head.mask_novel.rows(head.class_names).any() for head in heads)
    model.set_novel_classes(['yak', 'not here'])
    for head in heads:
        assert head.mask_novel.rows(head.class_names).tolist() == [False] * 5 + [True]
    told = fill_with_random_embeddings(MODELS.build(small_model('faster')))
    told.set_novel_classes(['cat'])  # the config names its own
    assert told.roi_head.bbox_head.mask_novel.novel == {'yak'}
