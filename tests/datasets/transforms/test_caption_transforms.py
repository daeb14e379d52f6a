"""Noun prompts and timm's augmentation in caption pipelines."""

import numpy as np
import pytest
import torch
from open_clip import SimpleTokenizer
from PIL import Image

from mmclip.datasets.transforms.clip_image import PackCLIPInputs
from mmclip.datasets.transforms.noun_prompts import NounPrompts
from mmclip.datasets.transforms.timm_augment import TimmAugment, ToBGR, to_rgb


def test_token_ids_are_made_in_the_pipeline_if_asked_for():
    transform = NounPrompts(num_prompts=2, source=['dog', 'boat'], context_length=12)
    results = transform(dict(text='a dog on a boat'))
    ids = SimpleTokenizer(context_length=12)(results['texts'])
    assert ids.shape == (3, 12) and np.array_equal(results['text_ids'], ids)


def test_texts_are_the_caption_and_prompts_of_its_nouns():
    transform = NounPrompts(num_prompts=2, templates='single', source=['dog', 'boat'])
    np.random.seed(0)
    texts = transform(dict(text=' a dog on a boat '))['texts']
    assert texts[0] == 'a dog on a boat'
    assert sorted(texts[1:]) == ['a photo of a boat.', 'a photo of a dog.']


def test_a_caption_without_a_noun_fills_up_with_itself():
    transform = NounPrompts(num_prompts=2, source=['dog'])
    assert transform(dict(text='so quiet'))['texts'] == ['so quiet'] * 3


def test_no_prompts():
    assert NounPrompts(num_prompts=0)(dict(text='a dog'))['texts'] == ['a dog']


def test_seeds_of_numpy_decide():
    transform = NounPrompts(num_prompts=2, source=['dog', 'boat', 'cat'])
    drawn = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        drawn.append(transform(dict(text='dog boat cat'))['texts'])
    assert drawn[0] == drawn[1] != drawn[2]


def test_bad_input():
    with pytest.raises(ValueError, match='num_prompts: -1'):
        NounPrompts(num_prompts=-1)
    with pytest.raises(ValueError, match='a.jpg has an empty caption'):
        NounPrompts(num_prompts=0)(dict(text='  ', img_path='a.jpg'))


def plain(**options) -> TimmAugment:
    """Whole image, no augmentation; half of them are mirrored."""
    return TimmAugment(size=8, scale=(1, 1), auto_augment=None, re_prob=0, **options)


def test_values_stay_those_of_the_image():
    array = np.full((8, 8, 3), (200, 100, 3), np.uint8)
    results = plain()(dict(img=Image.fromarray(array)))
    assert results['img'].dtype == np.float32 and results['img_shape'] == (8, 8)
    np.testing.assert_allclose(results['img'], array, atol=1e-3)


def test_erased_pixels_are_unit_noise_after_normalization():
    torch.manual_seed(0)
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    transform = TimmAugment(
        size=64, scale=(1, 1), auto_augment=None, re_prob=1.0, mean=mean, std=std
    )
    image = Image.fromarray(np.full((64, 64, 3), (100, 110, 120), np.uint8))
    erased = []
    for _ in range(20):
        normalized = (transform(dict(img=image))['img'] - mean) / std
        erased.append(normalized[np.abs(normalized) > 1e-3])
    erased = np.concatenate(erased)
    assert len(erased) > 1000
    assert abs(erased.mean()) < 0.05 and erased.std() == pytest.approx(1, abs=0.05)


def test_channels_reach_the_host_s_preprocessor_in_its_order():
    array = np.full((8, 8, 3), (200, 100, 3), np.uint8)
    results = ToBGR()(plain()(dict(img=Image.fromarray(array))))
    inputs = PackCLIPInputs()(results)['inputs']
    torch.testing.assert_close(inputs[:, 0, 0], torch.tensor([3.0, 100, 200]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ('mode', 'array'),
    [
        ('L', np.full((4, 4), 130, np.uint8)),
        ('RGBA', np.full((4, 4, 4), (130, 130, 130, 9), np.uint8)),
        ('I;16', np.full((4, 4), 130 * 256, np.uint16)),
        ('I', np.full((4, 4), 130 * 257, np.int32)),
    ],
)
def test_other_modes(mode, array):
    image = Image.fromarray(array)
    assert image.mode == mode
    rgb = to_rgb(image)
    assert rgb.mode == 'RGB' and np.asarray(rgb)[0, 0].tolist() == [130] * 3
