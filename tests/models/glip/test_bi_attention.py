"""Attention between images and words against its formula, in portions, and behind clamps."""

import pytest
import torch

from mmclip.models.glip.bi_attention import CLAMP, BiAttention, exceeds_clamp


def build(**settings) -> BiAttention:
    torch.manual_seed(0)
    shape = dict(vision_dim=6, text_dim=5, embed_dim=8, num_heads=2, dropout=0.0)
    attention = BiAttention(**(shape | settings)).eval()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


def inputs(positions: int = 11, words: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(2, positions, 6, generator=generator)
    mask = torch.ones(2, words, dtype=torch.bool)
    mask[1, 2:] = False
    return v, torch.randn(2, words, 5, generator=generator), mask


def formula(a: BiAttention, v, words, mask):
    """Equations 4 to 6, head by head."""
    heads = [slice(h * a.head_dim, (h + 1) * a.head_dim) for h in range(a.num_heads)]
    seen, read = [], []
    for head in heads:
        q, k = a.query(v)[..., head], a.key(words)[..., head]
        logits = q @ k.transpose(1, 2) / a.head_dim**0.5
        masked = logits.masked_fill(~mask[:, None], -torch.inf)
        seen.append(masked.softmax(-1) @ a.value_l(words)[..., head])
        read.append(logits.transpose(1, 2).softmax(-1) @ a.value_v(v)[..., head])
    return a.out_v(torch.cat(seen, -1)), a.out_l(torch.cat(read, -1))


@pytest.mark.parametrize('chunk', [1, 4, 11, 100])
def test_is_the_formula_in_any_portions(chunk):
    attention, (v, words, mask) = build(chunk=chunk), inputs()
    wanted = formula(attention, v, words, mask)
    with torch.no_grad():
        found = attention(v, words, mask)
    for ours, reference in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('chunk', [4, 100])
def test_gradients_are_those_of_the_formula(chunk):
    attention, (v, words, mask) = build(chunk=chunk).double(), inputs()
    v, words = v.double(), words.double()
    weights = list(attention.parameters())
    v.requires_grad_(), words.requires_grad_()
    ours = sum(part.square().sum() for part in attention(v, words, mask))
    wanted = sum(part.square().sum() for part in formula(attention, v, words, mask))
    for a, b in zip(
        torch.autograd.grad(ours, [v, words, *weights]),
        torch.autograd.grad(wanted, [v, words, *weights]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_padding_is_not_seen_and_reads_what_it_would():
    attention, (v, words, mask) = build(), inputs()
    changed = words.clone()
    changed[1, 2:] = 7.0
    with torch.no_grad():
        first, second = attention(v, words, mask), attention(v, changed, mask)
        short = attention(v[1:], words[1:, :2])
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[0][1:], short[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(first[1][1:, :2], short[1], rtol=1e-5, atol=1e-5)


def test_the_bound_says_when_clamps_bite():
    attention, (v, words, _) = build(), inputs()
    assert not exceeds_clamp(v, attention._fold(words))
    assert exceeds_clamp(v * 1e6, attention._fold(words))
    assert exceeds_clamp(v * torch.nan, attention._fold(words))  # what is not known is not proven
    big = v * 1e5
    with torch.no_grad():
        logits = attention._heads(attention.query(big)) * attention.head_dim**-0.5
        logits = logits @ attention._heads(attention.key(words)).transpose(2, 3)
        assert logits.abs().max() > CLAMP
        assert not torch.equal(attention(big, words)[0], build(clamp=False)(big, words)[0])
        torch.testing.assert_close(attention(big, words), attention._literally(big, words, None))


def test_both_paths_agree_where_both_apply():
    attention, (v, words, mask) = build(), inputs()
    with torch.no_grad():
        pairs = zip(attention(v, words, mask), attention._literally(v, words, mask), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('chunk', [4, 100])
def test_dropout_keeps_the_mean(chunk):
    attention, (v, words, mask) = build(dropout=0.5, chunk=chunk), inputs()
    with torch.no_grad():
        exact = attention(v, words, mask)
        attention.train()
        torch.manual_seed(0)
        draws = [attention(v, words, mask) for _ in range(3000)]
    for place in (0, 1):
        mean = torch.stack([draw[place] for draw in draws]).mean(0)
        spread = torch.stack([draw[place] for draw in draws]).std(0) / 3000**0.5
        assert ((mean - exact[place]).abs() < 5 * spread + 1e-4).all()
        assert spread.max() > 0


@pytest.mark.parametrize('chunk', [4096, 3000])
def test_thousands_of_positions_do_not_overflow_in_fp16(chunk):
    attention = build(chunk=chunk)
    torch.nn.init.zeros_(attention.key.weight)  # every position has the same share
    torch.nn.init.zeros_(attention.key.bias)
    v, (_, words, _) = torch.full((1, 6000, 6), 30.0), inputs()
    wanted = attention(v, words[:1])[1]
    with torch.autocast('cpu', torch.float16):
        found = attention(v, words[:1])[1]
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-1)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='do not divide'):
        build(num_heads=3)
