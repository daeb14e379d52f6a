"""Phrases to tokens; the fixture `positive_map` compares with the official code."""

import pytest
import torch

from mmclip.clip.offset_tokenizer import CLIPTokens
from mmclip.text.captions import class_caption
from mmclip.text.positive_map import (
    maskable_tokens,
    positive_map,
    token_labels,
    token_ranges,
)

# [CLS] a red  star-fish [SEP] [PAD]: 'star' and 'fish' touch, two spaces behind 'red'.
TEXT = 'a red  starfish'
OFFSETS = torch.tensor([[0, 0], [0, 1], [2, 5], [7, 11], [11, 15], [0, 0], [0, 0]])
SPECIAL = torch.tensor([1, 0, 0, 0, 0, 1, 1]).bool()


def tokens(spans, **settings):
    shares = positive_map(spans, OFFSETS, SPECIAL, 7, **settings)
    return [row.nonzero()[:, 0].tolist() for row in shares]


def test_rows_are_shares_of_the_phrase():
    shares = positive_map([[[2, 15]], [[0, 1], [7, 11]]], OFFSETS, SPECIAL, 7)
    third, half = 1 / (3 + 1e-6), 1 / (2 + 1e-6)
    expected = [[0, 0, third, third, third, 0, 0], [0, half, 0, half, 0, 0, 0]]
    assert torch.allclose(shares, torch.tensor(expected))


def test_ends_in_spaces_fall_back_to_their_neighbors():
    assert tokens([[[5, 11]]]) == [[3]]  # begins two spaces before its word
    assert tokens([[[2, 7]]]) == [[2]]  # ends two spaces behind it
    assert tokens([[[5, 7]]]) == [[]]  # nothing but spaces: the end lies before the begin
    assert tokens([[[8, 9]]]) == [[3]]  # a part of a word is the word's token


def test_pieces_that_overlap_count_once():
    assert tokens([[[2, 5], [2, 11]]]) == [[2, 3]]
    assert float(positive_map([[[2, 5], [2, 11]]], OFFSETS, SPECIAL, 7).sum()) < 1


def test_no_phrases_and_phrases_without_pieces():
    assert positive_map([], OFFSETS, SPECIAL, 7).shape == (0, 7)
    assert tokens([[], [[3, 3]]]) == [[], []]
    empty = torch.zeros(0, 2, dtype=torch.long)
    assert positive_map([[[0, 4]]], empty, torch.zeros(0).bool(), 5).sum() == 0
    special = torch.ones(7).bool()
    assert positive_map([[[0, 4]]], OFFSETS, special, 7).sum() == 0


def test_a_phrase_that_was_cut_keeps_its_first_tokens():
    spans = [[[7, 40]], [[30, 40]]]
    assert tokens(spans) == [[3, 4], []]
    assert tokens(spans, drop_cut=True) == [[], []]


def test_a_map_that_is_narrower_than_the_text_loses_its_end():
    assert positive_map([[[2, 15]]], OFFSETS, SPECIAL, 3)[0].nonzero()[:, 0].tolist() == [2]


def test_a_character_of_several_byte_tokens_is_all_of_them():
    tokenizer = CLIPTokens()
    batch = tokenizer(['x \N{EGYPTIAN HIEROGLYPH A001} y'], 20, pad=False)
    of_it = (batch.offsets[0] == torch.tensor([2, 3])).all(1).nonzero()[:, 0].tolist()
    assert len(of_it) > 1, 'the text must have such a character'
    rows = token_ranges([[[2, 3]]], batch.offsets[0], batch.special[0])
    assert [int(rows.first), int(rows.last)] == [of_it[0], of_it[-1]]


def test_every_class_of_a_caption_has_the_tokens_of_its_words():
    names = ['striped red star', 'jellyfish (animal)', "o'clock", 'mr. x', '24-hour clock']
    caption, tokenizer = class_caption(names), CLIPTokens()
    batch = tokenizer([caption.text], 60, pad=True)
    shares = positive_map(caption.spans, batch.offsets[0], batch.special[0], 60)
    for row, (span,) in zip(shares, caption.spans, strict=True):
        word = tokenizer([caption.text[slice(*span)]], 60, pad=False).ids[0, 1:-1]
        assert batch.ids[0][row > 0].tolist() == word.tolist()


def test_labels_of_tokens():
    spans = [[[2, 5]], [[7, 15]], [[11, 15]]]
    found = token_labels(spans, [8, 3, -1], OFFSETS, SPECIAL, 8)
    assert found.tolist() == [-1, -1, 8, 3, -1, -1, -1, -1]
    found = token_labels(spans[:2], torch.tensor([8, 3]), OFFSETS, SPECIAL, 8, none=-100)
    assert found.tolist() == [-100, -100, 8, 3, 3, -100, -100, -100]
    assert token_labels([], [], OFFSETS, SPECIAL, 3).tolist() == [-1, -1, -1]


def test_maskable_tokens():
    found = maskable_tokens([[[2, 5]], [[7, 9]]], OFFSETS, SPECIAL, 8)
    assert found.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert maskable_tokens(None, OFFSETS, SPECIAL, 3).tolist() == [-1, -1, -1]
    assert maskable_tokens([], OFFSETS, SPECIAL, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize('count', [1, 3])
def test_long_texts(count):
    """10 000 words: what was cut has no token, what is left keeps its place."""
    tokenizer = CLIPTokens()
    text = 'star ' * 10_000
    batch = tokenizer([text] * count, 16, pad=True)
    spans = [[[5, 9]], [[40_000, 40_004]], [[0, 49_999]]]
    shares = positive_map(spans, batch.offsets[-1], batch.special[-1], 16)
    assert [row.nonzero()[:, 0].tolist() for row in shares] == [[2], [], list(range(1, 15))]
