"""CLIP on crops: scores from the image tower, alone and beside the words' branch."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmclip import config_path
from mmclip.models.vild.crops import encode_crops, region_crops
from mmclip.registry import MODELS
from mmclip.text.class_names import novel_names

BOXES = torch.tensor([[10.0, 12.0, 50.0, 60.0], [40.0, 8.0, 90.0, 50.0]])


def build(name: str, **cfg) -> torch.nn.Module:
    init_default_scope('mmdet')
    loaded = Config.fromfile(config_path(f'vild/{name}.py')).model
    loaded.test_cfg.rcnn.update(score_thr=0.0, **cfg)
    torch.manual_seed(0)
    model = MODELS.build(loaded).eval()
    model.init_weights()
    model.set_classes('mini_world')
    model.set_novel_classes(novel_names('mini_world'))
    return model


def sample(**data) -> DetDataSample:
    meta = dict(img_shape=(96, 100), scale_factor=(1.0, 1.0))
    return DetDataSample(metainfo=meta, proposals=InstanceData(**data))


def image(model) -> tuple[torch.Tensor, torch.Tensor]:
    raw = torch.randint(0, 256, (96, 100, 3), dtype=torch.uint8)
    normed = (raw.permute(2, 0, 1).float() - model.data_preprocessor.mean) / (
        model.data_preprocessor.std
    )
    return raw, torch.nn.functional.pad(normed, (0, 28, 0, 32))[None]


def test_names_are_those_of_the_image_tower():
    model = build('mini/clip_on_crops_r18_mini', per_proposal=True)
    raw, inputs = image(model)
    rule = model._rule()
    clip = model.roi_head.bbox_head.classifier.text_encoder.clip
    crops = encode_crops(clip, region_crops(raw.numpy(), BOXES, rule), rule)
    expected = (crops @ model.roi_head.bbox_head.classifier.embeddings.t() / 0.03).softmax(1)
    objectness = torch.tensor([0.25, 1.0])
    with torch.no_grad():
        (found,) = model.predict(inputs, [sample(bboxes=BOXES, scores=objectness)])
    found = found.pred_instances
    best = (expected * objectness[:, None]).sqrt().max(1)
    torch.testing.assert_close(found.scores, best.values, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.labels, best.indices)
    torch.testing.assert_close(found.bboxes, BOXES)


def test_beside_the_words_it_is_a_branch_of_the_ensemble():
    model = build('mini/vild_text_and_crops_r18_mini', per_proposal=True)
    raw, inputs = image(model)
    head = model.roi_head.bbox_head
    with torch.no_grad():
        crops = model.crop_embeddings(inputs[0], BOXES, (96, 100))
        (found,) = model.predict(inputs, [sample(bboxes=BOXES)])
        x = model.extract_feat(inputs)
        rois = torch.nn.functional.pad(BOXES, (1, 0))
        text = head(model.roi_head.bbox_roi_extractor(x[:3], rois))[0].softmax(1)[:, :384]
    crops = head.classifier.class_logits(crops).softmax(1)
    share = head.image_share({})
    assert share.unique().tolist() == pytest.approx([1 / 3, 2 / 3])
    best = (text ** (1 - share) * crops**share).max(1)
    torch.testing.assert_close(found.pred_instances.scores, best.values, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.pred_instances.labels, best.indices)


def test_no_proposal_and_nothing_to_train():
    model = build('mini/clip_on_crops_r18_mini')
    _, inputs = image(model)
    (found,) = model.predict(inputs, [sample(bboxes=BOXES[:0])])
    assert len(found.pred_instances) == 0
    with pytest.raises(NotImplementedError, match='for testing'):
        model.loss(inputs, [])
    cfg = Config.fromfile(config_path('vild/mini/clip_on_crops_r18_mini.py')).model
    cfg.mode = 'all'
    with pytest.raises(ValueError, match="mode: 'all' is none of crops, text_and_crops"):
        MODELS.build(cfg)
