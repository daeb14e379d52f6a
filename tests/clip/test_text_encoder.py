"""Sentences and names through a text tower: shapes, ensembling, truncation, hashes."""

import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmclip.clip.text_encoder import CLIPTextEncoder, average_prompts
from mmclip.registry import MODELS
from mmclip.text.prompts import PROMPT_SETS

TINY = dict(
    embed_dim=24,
    vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16),
    text_cfg=dict(width=32, heads=2, layers=2),
)
NAMES = ['cat', 'polar bear', 'aerosol can', "hair-dryer's cord", 'Ätna']


@pytest.fixture(scope='module')
def encoder() -> CLIPTextEncoder:
    torch.manual_seed(0)
    encoder = CLIPTextEncoder(model=TINY)
    assert encoder.clip is encoder.clip
    return encoder


@pytest.mark.parametrize('prompts', PROMPT_SETS)
def test_names_as_open_clips_classifier(encoder, prompts):
    prompt_set = PROMPT_SETS[prompts]
    if prompt_set.vild_rules:  # open_clip knows no articles: spell the sentences out
        templates = [
            lambda name, i=i: prompt_set.format(name)[i] for i in range(len(prompt_set.templates))
        ]
    else:
        templates = [lambda name, t=t: t.replace('{}', name) for t in prompt_set.templates]
    expected = open_clip.build_zero_shot_classifier(
        encoder.clip, open_clip.SimpleTokenizer(), NAMES, templates
    ).T
    ours = encoder.encode_names(NAMES, prompts)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_sentences_are_normalized_and_each_has_its_own_row(encoder):
    texts = ['a cat', 'a cat.', 'two cats on a mat', '']
    ours = encoder.encode(texts)
    with torch.no_grad():
        expected = encoder.clip.encode_text(open_clip.SimpleTokenizer()(texts), normalize=True)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.encode(texts[::-1]), ours.flip(0), atol=1e-6, rtol=0)


def test_nothing_to_encode(encoder):
    assert encoder.encode([]).shape == (0, 24)
    assert encoder.encode_names([]).shape == (0, 24)
    assert encoder.encode_images([]).shape == (0, 24)


def test_ten_thousand_characters_are_cut_and_said(encoder, caplog):
    long = 'very ' * 2000 + 'long'
    ids = encoder.tokenize([long, 'cat'])
    assert ids.shape == (2, 77) and ids[0, -1] == 49407
    exactly = 'cat ' * 75
    assert encoder._count_tokens(exactly) == 77
    assert encoder._count_tokens(exactly + 'cat') == 78
    assert torch.isfinite(encoder.encode([long, '你好 😀', '\x00'])).all()


def test_each_sentence_is_normalized_before_the_average():
    """By hand: (3, 0) and (0, 4) average to the diagonal, whatever their lengths."""
    raw = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    torch.testing.assert_close(average_prompts(raw), torch.tensor([[0.5, 0.5]]).sqrt())


def test_images_as_the_image_tower(encoder):
    images = [
        Image.effect_noise((20, 31), 80).convert('RGB'),
        Image.effect_noise((16, 16), 80).convert('RGBA'),
    ]
    transform = open_clip.image_transform(16, is_train=False)
    with torch.no_grad():
        expected = encoder.clip.encode_image(torch.stack([transform(p) for p in images]))
    ours = encoder.encode_images(images)
    torch.testing.assert_close(ours, F.normalize(expected, dim=1), atol=1e-6, rtol=0)


def test_squashing_models_see_the_whole_image():
    """SigLIP's transform does not crop; its mean and std are a half."""
    config = CLIPTextEncoder(model='ViT-B-16-SigLIP', pretrained='webli').image_transform()
    image = Image.new('RGB', (50, 10), 'white')
    image.paste('black', (0, 0, 10, 10))
    out = config(image)
    assert out.shape == (3, 224, 224)
    torch.testing.assert_close(out[:, 100, 20], torch.full((3,), -1.0))
    torch.testing.assert_close(out[:, 100, 200], torch.full((3,), 1.0))


def test_building_reads_no_weights():
    encoder = MODELS.build(
        dict(type='mmclip.CLIPTextEncoder', model='ViT-L-14-quickgelu', pretrained='openai')
    )
    assert encoder.embed_dim == 768 and not list(encoder.parameters())
    with pytest.raises(ValueError, match='ViT-L-14'):
        CLIPTextEncoder(model='ViT-L14')


def test_hash_follows_the_text_tower_only(encoder):
    assert len(encoder.weight_hash()) == 16
    other = CLIPTextEncoder(model=TINY)
    assert other.weight_hash() == encoder.weight_hash()
    changed = CLIPTextEncoder(model=dict(TINY, embed_dim=16))
    first = changed.weight_hash()
    with torch.no_grad():
        changed.clip.visual.conv1.weight.add_(1)
        changed._hash = None
        assert changed.weight_hash() == first
        changed.clip.ln_final.bias.add_(1)
        changed._hash = None
        assert changed.weight_hash() != first
