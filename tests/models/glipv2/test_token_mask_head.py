"""Masks from words: closed form, mean of logits, several images, targets."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks

from mmclip.models.glipv2.token_mask_head import TokenMaskHead, mask_targets
from mmclip.registry import MODELS


def head(**settings) -> TokenMaskHead:
    torch.manual_seed(0)
    settings = dict(in_channels=4, word_dim=6, num_convs=2, conv_channels=5) | settings
    built = MODELS.build(dict(type='mmclip.TokenMaskHead') | settings)
    for value in (built.log_scale, built.bias_lang):
        value.data.normal_()
    return built


def inputs() -> tuple:
    """Regions of images 1, 0, 1 and their phrases' tokens."""
    x, words = torch.randn(3, 4, 7, 7), torch.randn(2, 8, 6)
    tokens = torch.zeros(3, 8, dtype=torch.bool)
    tokens[0, 1:3] = tokens[1, 4] = tokens[2, 2:7] = True
    return x, words, torch.tensor([1, 0, 1]), tokens


def test_one_word_is_a_dot_product():
    model = head(num_convs=0, in_channels=5)
    x, words = torch.randn(1, 5, 3, 3), torch.randn(1, 2, 6)
    found = model(x, words, torch.tensor([0]))
    assert found.shape == (1, 2, 6, 6)
    pixel = torch.relu(model.upsample(x))[0, :, 2, 5]
    word = words[0, 1] / words[0, 1].norm()
    weight, bias = model.projection_text.weight, model.projection_text.bias
    expected = pixel @ (weight @ word / 2 + bias) / model.log_scale.exp() + word @ model.bias_lang
    torch.testing.assert_close(found[0, 1, 2, 5], expected[0])


def test_a_phrase_is_the_mean_of_its_words_logits():
    model, (x, words, image, tokens) = head(), inputs()
    every = model(x, words, image)
    expected = torch.stack([rows[t].mean(0) for rows, t in zip(every, tokens, strict=True)])
    torch.testing.assert_close(model.phrase_logits(x, words, image, tokens), expected)
    # Each region reads its own image's words only.
    alone = model.phrase_logits(x[1:2], words[:1], torch.tensor([0]), tokens[1:2])
    torch.testing.assert_close(alone[0], expected[1])


def test_huge_logits_are_clamped_before_the_mean():
    model, (x, words, image, tokens) = head(), inputs()
    model.log_scale.data.fill_(-14.0)  # times 1.2 million
    every = model(x, words, image)
    assert every.abs().max() == 50000
    expected = torch.stack([rows[t].mean(0) for rows, t in zip(every, tokens, strict=True)])
    found = model.phrase_logits(x, words, image, tokens)
    torch.testing.assert_close(found, expected)


def test_a_phrase_without_tokens_says_nothing():
    model, (x, words, image, tokens) = head(), inputs()
    found = model.phrase_logits(x, words, image, torch.zeros_like(tokens))
    assert not found.any()


def test_no_region_gives_zero_and_gradients():
    model, (x, words, image, tokens) = head(), inputs()
    words.requires_grad_()
    logits = model.phrase_logits(x[:0], words, image[:0], tokens[:0])
    loss = model.loss(logits, torch.zeros(0, 14, 14))
    loss.backward()
    assert loss.item() == 0 and logits.shape == (0, 14, 14)
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_the_loss_is_a_mean_over_pixels():
    model = head(loss_weight=3.0)
    logits = torch.zeros(2, 4, 4)
    assert model.loss(logits, torch.ones(2, 4, 4)).item() == pytest.approx(3 * np.log(2))


def test_targets_are_cut_from_the_matched_masks():
    left, top = np.zeros((2, 8, 8), dtype=np.uint8)
    left[:, :4], top[:4] = 1, 1
    masks = BitmapMasks([left, top], 8, 8), BitmapMasks([top], 8, 8)
    boxes = [torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 8, 8]]), torch.zeros(0, 4)]
    found = mask_targets(masks, [torch.tensor([1, 0]), torch.tensor([], dtype=int)], boxes, 4)
    half = torch.tensor([1.0, 1.0, 0.0, 0.0])
    torch.testing.assert_close(found, torch.stack([half[:, None].expand(4, 4), half.expand(4, 4)]))
