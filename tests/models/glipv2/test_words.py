"""Hiding words, naming them, answers as mask tokens, answers as classes, captions."""

import math

import pytest
import torch

from mmclip.clip.offset_tokenizer import CLIPTokens
from mmclip.models.glipv2.caption_head import backward_attention
from mmclip.models.glipv2.mask_tokens import MaskTokens, hide_tokens
from mmclip.models.glipv2.mlm_head import MLMHead
from mmclip.models.glipv2.vqa_head import VQAHead
from mmclip.registry import MODELS, TASK_UTILS
from mmclip.text.offset_tokenizers import BertTokens
from mmclip.text.vqa import mask_answer, mask_text

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'star', 'a', '.']


def hide(draws: list[float], **settings) -> tuple[list, list]:
    ids = torch.arange(10, 10 + len(draws))[None]
    mask = settings.pop('mask', torch.ones_like(ids, dtype=torch.bool))
    others = torch.arange(90, 100)
    hidden, labels = hide_tokens(ids, torch.tensor([draws]), others, 4, mask, **settings)
    return hidden[0].tolist(), labels[0].tolist()


def test_of_the_chosen_tokens_eight_in_ten_are_masked_and_one_is_replaced():
    # Shares of the ratio .5: below .8 masked, below .9 another word, else itself; 0.6 not chosen.
    draws = [0.1, 0.42, 0.48, 0.6, 0.43]
    hidden, labels = hide(draws, ratio=0.5)
    assert hidden == [4, 90, 12, 13, 91]
    assert labels == [10, 11, 12, -100, 14]


def test_only_what_is_allowed_is_hidden_unless_compat():
    draws, allowed = [0.1, 0.1, 0.1, 0.1], torch.tensor([[1.0, 0.0, -1.0, 1.0]])
    mask = torch.tensor([[True, True, True, False]])
    hidden, labels = hide(draws, allowed=allowed, mask=mask)
    assert hidden == [4, 11, 12, 13] and labels == [10, -100, -100, -100]
    hidden, labels = hide(draws, allowed=allowed, mask=mask, compat=True)
    assert hidden == [4, 4, 12, 13] and labels == [10, -100, -100, -100]


def test_masks_words_of_the_spans_and_of_the_kinds_asked_for():
    tokenizer = BertTokens(WORDS)
    batch = tokenizer(['red star. a', 'red star', 'star'], 8)
    spans, kinds = [[[0, 8]], None, [[0, 4]]], ['grounding', 'grounding', 'det']
    ids, labels = MaskTokens(ratio=1.0, texts=['grounding'])(batch, spans, kinds, tokenizer)
    asked = labels != -100
    assert asked.sum(1).tolist() == [2, 2, 0]  # no special token, no other word, no class name
    assert asked[0].nonzero()[:, 0].tolist() == [1, 2]
    torch.testing.assert_close(labels[asked], batch.ids[asked])
    torch.testing.assert_close(ids[~asked], batch.ids[~asked])
    _, labels = MaskTokens(ratio=1.0, compat=True)(batch, spans, kinds, tokenizer)
    assert (labels != -100).sum(1).tolist() == [2, 4, 1]  # [CLS] and [SEP] too


def test_about_the_share_that_was_asked_for():
    tokenizer = BertTokens(WORDS)
    batch = tokenizer(['red ' * 250] * 40, 252)
    torch.manual_seed(0)
    ids, labels = MaskTokens()(batch, [None] * 40, ['grounding'] * 40, tokenizer)
    asked = labels != -100
    assert asked.sum() / 10_000 == pytest.approx(0.15, abs=0.015)
    assert (ids[asked] == tokenizer.mask_id).float().mean() == pytest.approx(0.8, abs=0.05)


def test_bad_settings_of_masking():
    with pytest.raises(ValueError, match='ratio: 0'):
        TASK_UTILS.build(dict(type='mmclip.MaskTokens', ratio=0))
    with pytest.raises(ValueError, match="'det' and 'grounding'"):
        MaskTokens(texts=['caption'])
    with pytest.raises(ValueError, match='in a list'):
        MaskTokens(texts='det')


def test_head_has_the_closed_form_and_counts_asked_words_only():
    head = MODELS.build(dict(type='mmclip.MLMHead', embed_dim=6, vocab_size=9, loss_weight=2.0))
    head.decoder.weight.data.zero_()
    hidden = torch.randn(2, 3, 6, requires_grad=True)
    labels = torch.full((2, 3), -100)
    labels[0, 1] = 4
    assert head.loss(hidden, labels).item() == pytest.approx(2 * math.log(9))
    head.decoder.bias.data[4] = 3.0
    expected = -2 * math.log(math.exp(3) / (math.exp(3) + 8))
    assert head.loss(hidden, labels).item() == pytest.approx(expected)
    labels[1, 2] = 0
    wrong = math.log(math.exp(3) + 8)
    assert head.loss(hidden, labels).item() == pytest.approx((expected + 2 * wrong) / 2)


def test_no_hidden_word_gives_zero_and_gradients():
    head = MLMHead(embed_dim=6, vocab_size=9)
    hidden = torch.randn(2, 3, 6, requires_grad=True)
    loss = head.loss(hidden, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0 and not hidden.grad.any()
    assert all(p.grad is not None for p in head.parameters())
    with pytest.raises(ValueError, match='vocab_size: 0'):
        MLMHead(embed_dim=6, vocab_size=0)


# -- answers ---------------------------------------------------------------------------------------


def test_boxes_of_the_answer_go_to_the_mask():
    spans = [[[0, 4]], [[19, 24]], [[8, 10], [21, 24]]]
    caption = mask_answer('what is on the dog', 'what is on the dog a hat', spans, '[MASK]')
    assert caption.text == 'what is on the dog [MASK]'
    assert caption.spans == (((0, 4),), ((19, 25),), ((8, 10), (19, 25)))
    assert mask_answer('who', 'who', [], '[MASK]').text == 'who [MASK]'
    with pytest.raises(ValueError, match="does not begin with the question 'who'"):
        mask_answer('who', 'what is it', [], '[MASK]')


@pytest.mark.parametrize('tokenizer', [BertTokens(WORDS), CLIPTokens()])
def test_each_tokenizer_reads_its_own_mask(tokenizer):
    word = mask_text(tokenizer)
    caption = mask_answer('a star', 'a star red', [[[7, 10]]], word)
    batch = tokenizer([caption.text], 8)
    (place,) = (batch.ids[0] == tokenizer.mask_id).nonzero()[:, 0].tolist()
    assert tuple(batch.offsets[0, place].tolist()) == caption.spans[0][0]
    assert not batch.special[0, place]


def test_answers_have_the_closed_form():
    head = MODELS.build(dict(type='mmclip.VQAHead', embed_dim=4, num_answers=3))
    for value in head.layers[-1].parameters():
        value.data.zero_()
    hidden, mask = torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    scores = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.0, 0.0]])
    assert head.loss(hidden, mask, scores).item() == pytest.approx(3 * math.log(2))
    head.layers[-1].bias.data.copy_(torch.tensor([2.0, 0.0, 0.0]))
    first = math.log(1 + math.exp(-2)) + 2 * math.log(2)  # right
    second = math.log(1 + math.exp(2)) + 2 * math.log(2)
    expected = (first + second) / 2
    assert head.loss(hidden, mask, scores).item() == pytest.approx(expected)


def test_answers_are_read_from_the_first_token_or_from_all_words():
    torch.manual_seed(0)
    hidden = torch.randn(1, 5, 4)
    mask = torch.tensor([[True, True, True, False, False]])
    other = hidden.clone()
    other[:, 3:] += 1  # padding
    later = hidden.clone()
    later[:, 2] += 1
    first, mean = (VQAHead(embed_dim=4, num_answers=3, pool=pool) for pool in ('first', 'mean'))
    torch.testing.assert_close(first(hidden, mask), first(later, mask))
    torch.testing.assert_close(mean(hidden, mask), mean(other, mask))
    assert (mean(hidden, mask) - mean(later, mask)).abs().max() > 1e-4
    loss = mean.loss(hidden[:0], mask[:0], torch.zeros(0, 3))
    loss.backward()
    assert loss.item() == 0 and mean.layers[0].weight.grad is not None
    with pytest.raises(ValueError, match="pool: 'max'"):
        VQAHead(embed_dim=4, pool='max')
    with pytest.raises(ValueError, match='num_answers: 0'):
        VQAHead(embed_dim=4, num_answers=0)


# -- captions --------------------------------------------------------------------------------------


def test_words_look_back_only():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert backward_attention(mask).int().tolist() == [
        [[1, 0, 0], [1, 1, 0], [1, 1, 0]],
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]],
    ]


class Successor(torch.nn.Module):
    """Says that the word after word n is n + 1 (row r of the batch: n + r)."""

    seen: list

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.vocab, self.seen = vocab, []

    def forward(self, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        self.seen.append((ids.clone(), attention))
        step = torch.arange(len(ids))[:, None]
        return torch.nn.functional.one_hot((ids.roll(1, 1) + step) % self.vocab, self.vocab).float()


def test_captions_are_written_word_by_word_until_the_end():
    head = MODELS.build(dict(type='mmclip.CaptionHead', embed_dim=8, vocab_size=8))
    head.dense, head.norm = torch.nn.Identity(), torch.nn.Identity()
    head.decoder.weight.data.copy_(torch.eye(8).roll(1, 0))
    encode = Successor(8)
    captions = head.generate(encode, 2, start_id=0, end_id=6, mask_id=7, max_tokens=9)
    assert captions == [[1, 2, 3, 4, 5], [2, 4]]
    ids, attention = encode.seen[1]
    assert ids.tolist() == [[0, 1, 7], [0, 2, 7]]
    torch.testing.assert_close(attention, backward_attention(torch.ones(2, 3, dtype=torch.bool)))
    assert len(encode.seen) == 6  # both have ended
    assert head.generate(encode, 2, start_id=0, end_id=6, mask_id=7, max_tokens=2) == [
        [1, 2],
        [2, 4],
    ]
