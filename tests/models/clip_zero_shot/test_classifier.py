"""The classifier in its three modes, with words and as a probe; converter; weights on demand."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.clip.loading import build_clip
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.models.clip_zero_shot.classifier import CLIPZeroShotClassifier, clip_data_preprocessor
from mmclip.models.clip_zero_shot.linear_classifier import LinearClassifier
from mmclip.registry import MODELS

TINY = dict(
    embed_dim=16,
    vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16),
    text_cfg=dict(width=32, heads=2, layers=1),
)
NAMES = ('cat', 'dog', 'red car', 'blue car')


@pytest.fixture
def weights(tmp_path) -> str:
    torch.manual_seed(2)
    path = tmp_path / 'clip.pt'
    torch.save(build_clip(TINY).state_dict(), path)
    return str(path)


def zero_shot(weights: str, **head) -> CLIPZeroShotClassifier:
    clip = dict(model=TINY, pretrained=weights)
    return MODELS.build(
        dict(
            type='mmclip.CLIPZeroShotClassifier',
            backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
            head=dict(
                type='mmclip.TextEmbeddingClassifier',
                classes=NAMES,
                background=None,
                text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip),
                **head,
            ),
        )
    ).eval()


def probe(classes=NAMES) -> CLIPZeroShotClassifier:
    torch.manual_seed(4)
    return CLIPZeroShotClassifier(
        backbone=dict(type='mmclip.OpenCLIPBackbone', model=TINY),
        head=dict(type='mmclip.LinearClassifier', model=TINY, classes=classes),
    )


def batch(size: int = 3) -> tuple[torch.Tensor, list[BaseDataElement]]:
    images = torch.randn(size, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    samples = [BaseDataElement(gt_label=torch.tensor(i % 4)) for i in range(size)]
    return images, samples


def test_logits_are_a_hundred_cosines(weights):
    model = zero_shot(weights, prompts='imagenet_7')
    images, _ = batch()
    encoder = CLIPTextEncoder(model=TINY, pretrained=weights)
    with torch.no_grad():
        features = F.normalize(encoder.clip.encode_image(images), dim=1)
    expected = 100 * features @ encoder.encode_names(NAMES, 'imagenet_7').T
    torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-5)


def test_weights_and_embeddings_are_there_without_a_checkpoint(weights):
    """As under a test tool that loads none; nothing is read before the first image."""
    model = zero_shot(weights)
    assert not model.backbone.is_filled and not model.head.is_filled
    model(batch()[0])
    assert model.backbone.is_filled and model.head.is_filled


def test_predictions(weights):
    model = zero_shot(weights)
    images, samples = batch()
    logits = model(images)
    out = model(images, samples, mode='predict')
    assert out[0] is samples[0]
    torch.testing.assert_close(torch.stack([s.pred_scores for s in out]), logits.softmax(1))
    assert [int(s.pred_label) for s in out] == logits.argmax(1).tolist()
    assert len(model(images, mode='predict')) == 3


def test_other_classes(weights):
    model = zero_shot(weights)
    images, _ = batch()
    before = model(images)
    model.set_classes(['dog', 'a thing', 'cat'])
    after = model(images)
    assert model.class_names == ('dog', 'a thing', 'cat')
    torch.testing.assert_close(after[:, [2, 0]], before[:, :2])
    model.set_classes(NAMES, prompts='{} in the rain')
    assert (model(images) - before).abs().max() > 1e-3


def test_a_checkpoint_brings_everything(weights, tmp_path):
    model = zero_shot(weights)
    images, _ = batch()
    expected = model(images)
    other = zero_shot(str(tmp_path / 'gone.pt'))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(images), expected)


def test_loss_by_hand_and_frozen_tower():
    model = probe()
    model.train()
    images, samples = batch(4)
    with torch.no_grad():
        model.head.fc.weight.normal_()
    loss = model(images, samples, mode='loss')['loss']
    logits = model.head(model.extract_feat(images)).double()
    expected = -torch.stack([logits[i].log_softmax(0)[i] for i in range(4)]).mean()
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is not None] == [
        'head.fc.weight',
        'head.fc.bias',
    ]
    assert not model.backbone.visual.training


def test_empty_batch_with_backward():
    model = probe()
    images, samples = batch(0)
    loss = model(images, samples, mode='loss')['loss']
    assert loss == 0
    loss.backward()
    assert (model.head.fc.weight.grad == 0).all()
    assert model(images, samples, mode='predict') == []


def test_fine_tuning_reaches_the_tower():
    model = CLIPZeroShotClassifier(
        backbone=dict(type='mmclip.OpenCLIPBackbone', model=TINY, frozen=False),
        head=dict(type='mmclip.LinearClassifier', model=TINY, classes=NAMES),
    ).train()
    nn.init.normal_(model.head.fc.weight)
    images, samples = batch()
    model(images, samples, mode='loss')['loss'].backward()
    assert model.backbone.visual.conv1.weight.grad.abs().sum() > 0


def test_mistakes(weights):
    model = probe()
    with pytest.raises(ValueError, match='tensor'):
        model(batch()[0], mode='loose')
    with pytest.raises(ValueError, match='gt_label'):
        model(batch()[0], mode='loss')
    with pytest.raises(ValueError, match='TextEmbeddingClassifier'):
        model.set_classes(['cat', 'mouse'])
    model.set_classes(NAMES)
    with pytest.raises(ValueError, match='128 channels'):
        CLIPZeroShotClassifier(
            backbone=dict(type='mmclip.OpenCLIPBackbone', model=TINY),
            head=dict(type='mmclip.LinearClassifier', model='mini_clip', classes=NAMES),
        )


def test_normalization_of_uint8_images():
    settings = clip_data_preprocessor('ViT-B-16-SigLIP', 'webli')
    assert settings['mean'] == [127.5] * 3 and settings['std'] == [127.5] * 3
    normalize = MODELS.build(clip_data_preprocessor())
    image = torch.tensor([0, 128, 255], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
    out = normalize(dict(inputs=[image]))['inputs']
    expected = [(0 - 0.48145466) / 0.26862954, (128 / 255 - 0.4578275) / 0.26130258]
    expected.append((1 - 0.40821073) / 0.27577711)
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor(expected))


# -- the probe ------------------------------------------------------------------------------------


def test_probe_is_float32_under_autocast():
    head = LinearClassifier(model=TINY, classes=NAMES)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert head(torch.randn(2, 16).bfloat16()).dtype == torch.float32
