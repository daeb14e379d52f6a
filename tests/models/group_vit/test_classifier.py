"""Zero-shot classification with a segmentor's weights."""

import pytest
import torch
import torch.nn.functional as F

from mmclip.registry import MODELS

PARTS = dict(
    backbone=dict(
        type='mmclip.GroupViTBackbone',
        img_size=32,
        patch_size=8,
        embed_dim=16,
        depths=[1, 1, 1],
        num_heads=[2, 2, 2],
        num_group_tokens=[6, 3, 0],
        num_output_groups=[6, 3],
    ),
    decode_head=dict(
        type='mmclip.GroupViTHead',
        in_channels=16,
        classes=['cat', 'dog', 'cow'],
        text=dict(width=16, layers=1, context_length=16),
        embed_dim=8,
        hidden=24,
        multi_label=2,
    ),
)


@pytest.fixture
def classifier(build):
    model = MODELS.build(
        dict(
            type='mmclip.GroupViTClassifier',
            data_preprocessor=dict(type='mmengine.ImgDataPreprocessor'),
            **PARTS,
        )
    ).eval()
    model.load_state_dict(build().state_dict())  # the segmentor's, as they are
    return model


@torch.no_grad()
def test_logits_are_scaled_cosines_of_the_pooled_feature(classifier):
    images = torch.randn(2, 3, 32, 32)
    head = classifier.decode_head
    pooled = head.image_projector(classifier.backbone(images).pooled)
    cosine = F.normalize(pooled, dim=1) @ head.encode_names(['cat', 'dog', 'cow'], 'single').T
    torch.testing.assert_close(classifier(images), cosine / 0.07)
    samples = classifier(images, mode='predict')
    assert [int(s.pred_label) for s in samples] == cosine.argmax(1).tolist()
    torch.testing.assert_close(samples[0].pred_scores.sum(), torch.tensor(1.0))


@torch.no_grad()
def test_a_model_with_early_fusion_reads_the_words_here_too(build):
    parts = {**PARTS, 'decode_head': dict(PARTS['decode_head'], early_fusion={})}
    model = MODELS.build(
        dict(
            type='mmclip.GroupViTClassifier',
            data_preprocessor=dict(type='mmengine.ImgDataPreprocessor'),
            **parts,
        )
    ).eval()
    images, head = torch.randn(2, 3, 32, 32), model.decode_head
    closed = model(images)
    head.early_fusion.gate.fill_(1.0)
    words = head.embeddings()
    pooled = head.project(model.backbone(images).pooled[:, None], words)[:, 0]
    torch.testing.assert_close(model(images), head.scale() * pooled @ words.T)
    assert not torch.allclose(model(images), closed)


def test_other_words_and_modes(classifier):
    classifier.set_classes(['sheep', 'cat'], prompts='name')
    assert classifier(torch.randn(3, 3, 32, 32)).shape == (3, 2)
    with pytest.raises(ValueError, match="mode: 'loss'"):
        classifier(torch.randn(1, 3, 32, 32), mode='loss')
