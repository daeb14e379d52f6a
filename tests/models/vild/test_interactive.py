"""Interactive detection: which regions stay, and naming them without looking again."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors.torch import load_file

from mmclip import config_path
from mmclip.models.vild.interactive import (
    ImageRegions,
    InteractiveDetector,
    RegionChoice,
    attribute_scores,
)
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of


def test_choice_by_hand():
    boxes = torch.tensor(
        [
            [0.0, 0, 100, 100],
            [0, 0, 100, 90],  # IoU 0.9 with the first, lower score
            [0, 0, 100, 50],  # IoU 0.5 with the first
            [200, 200, 220, 211],  # 220 square pixels
            [250, 200, 271, 211],
            [300, 300, 400, 400],  # too low a score
        ]
    )
    scores = torch.tensor([0.95, 0.94, 0.99, 0.96, 0.93, 0.89])
    assert RegionChoice()(boxes, scores).tolist() == [2, 0, 4]
    assert RegionChoice(max_regions=2)(boxes, scores).tolist() == [2, 0]
    assert RegionChoice(nms_iou=0.4)(boxes, scores).tolist() == [2, 4]
    assert RegionChoice()(boxes[:0], scores[:0]).tolist() == []


def test_what_looks_like_background_is_not_shown():
    regions = ImageRegions(torch.zeros(3, 4), torch.ones(3), torch.eye(3))
    named = regions.classify(
        F.normalize(torch.tensor([[0.0, 1, 0.1], [1, 0, 0], [0, 0.1, 1]]), dim=1)
    )
    assert named.indices.tolist() == [0, 2] and named.labels.tolist() == [0, 1]
    assert named.scores.tolist() == pytest.approx([1, 1 / 1.01**0.5])
    assert named.cosines.shape == (3, 2)


def test_attributes_are_those_of_the_formula(oracles):
    data = load_file(oracles / 'vild' / 'interactive_attributes.safetensors')
    names = ('region_embedding', 'class_text', 'attribute_text')
    found = attribute_scores(*(data[f'input/{name}'] for name in names))
    expected = (data[f'output/{name}'] for name in ('prob_class', 'prob_attribute', 'joint'))
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope='module')
def detector():
    cfg = Config.fromfile(config_path('vild/mini/vild_text_r18_mini.py'))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    cfg.model.roi_head.bbox_head.classifier.text_encoder.pretrained = None
    model = MODELS.build(cfg.model).eval()
    for classifier in classifiers_of(model):
        classifier.init_weights()
    model.cfg = cfg
    return InteractiveDetector(model, choice=RegionChoice(min_rpn_score=0, min_area=30))


def test_a_image_is_looked_at_once(detector, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (70, 130, 3)).astype(np.uint8)
    regions = detector.encode_image(image)
    assert 0 < len(regions) <= 25
    assert regions.boxes[:, 2].max() <= 130.01 and regions.boxes[:, 3].max() <= 70.01
    assert (regions.rpn_scores.diff() <= 0).all()
    torch.testing.assert_close(regions.embeddings.norm(dim=1), torch.ones(len(regions)))
    first = detector.classify(regions, ['a red star', 'a dog'])
    monkeypatch.setattr(detector.model, 'extract_feat', None)  # it must not be needed again
    again = detector.classify(regions, ['a red star', 'a cat', 'a dog'])
    torch.testing.assert_close(again.cosines[:, [0, 2]], first.cosines)
    encoder = detector.model.roi_head.bbox_head.classifier
    monkeypatch.setattr(encoder.text_encoder, 'encode_names', None)  # nor known words
    detector.classify(regions, ['a dog', 'a red star'])
    scores = detector.classify_with_attributes(regions, ['a dog', 'a cat'], ['a red star', 'a dog'])
    assert scores.joint.shape == (len(regions), 2, 2)
    torch.testing.assert_close(scores.joint.sum((1, 2)), torch.ones(len(regions)))


def test_bad_input(detector):
    regions = ImageRegions(torch.zeros(1, 4), torch.ones(1), torch.zeros(1, 128))
    with pytest.raises(ValueError, match='words'):
        detector.classify(regions, [])
    with pytest.raises(ValueError, match='pipeline'):
        InteractiveDetector(torch.nn.Linear(1, 1))
