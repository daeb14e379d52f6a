"""Tokenizers with offsets: the same ids as the originals, cutting, padding, sources."""

import pickle

import pytest
import torch
from open_clip import SimpleTokenizer
from tokenizers import BertWordPieceTokenizer

from mmclip.clip.offset_tokenizer import CLIPTokens
from mmclip.registry import TASK_UTILS
from mmclip.text.offset_tokenizers import BertTokens

WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] . - dog hot ##dog sky star'.split()
TEXTS = [
    'a photo of a cat.',
    "Hello  World! 123 it's \u00c4\u00d6 \N{ROCKET}\N{ROCKET}",
    'mr. coffee.. ;)',
    'st.bernard\n\ttab',
    '',
    '24-hour clock',
    'the <|endoftext|> of a text',
]


@pytest.mark.parametrize('text', TEXTS)
def test_clips_ids_are_open_clips(text):
    ids = CLIPTokens()([text], 77, pad=False).ids[0].tolist()
    assert ids == [49406, *SimpleTokenizer().encode(text), 49407]


def test_offsets_cover_the_words():
    text = 'A hotdog-Star.'
    batch = BertTokens(WORDS)([text], 20, pad=False)
    pieces = [text[a:b].lower() for a, b in batch.offsets[0].tolist()]
    assert pieces == ['', 'a', 'hot', 'dog', '-', 'star', '.', '']
    assert batch.ids[0].tolist() == [2, 1, 8, 9, 6, 11, 5, 3]
    assert batch.special[0].tolist() == [True] + 6 * [False] + [True]


@pytest.mark.parametrize('make', [lambda: BertTokens(WORDS), CLIPTokens])
def test_padding_and_cutting(make):
    tokenizer = make()
    batch = tokenizer(['dog', 'dog star ' * 20], 8)
    assert batch.ids.shape == (2, 8) and batch.mask.sum(1).tolist() == [3, 8]
    assert (batch.ids[0, 3:] == tokenizer.pad_id).all() and batch.special[0, 3:].all()
    assert batch.special[1].nonzero()[:, 0].tolist() == [0, 7]  # the end token stays
    assert batch.ids[1, 7] == batch.ids[0, 2] == tokenizer.end_id
    short = tokenizer(['dog', 'dog star'], 8, pad=False)
    assert short.ids.shape == (2, 4)
    assert torch.equal(short.ids[0, :3], batch.ids[0, :3])
    assert tokenizer([], 8, pad=False).ids.shape == (0, 0)


@pytest.mark.parametrize('make', [lambda: BertTokens(WORDS), CLIPTokens])
def test_counts_and_copies(make):
    tokenizer = make()
    assert (
        tokenizer.count(['dog', 'star. ', ''])
        == [1, 2, 0]
        == tokenizer.count(['dog', 'star. ', ''])
    )
    again = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(again(['dog star'], 6).ids, tokenizer(['dog star'], 6).ids)
    with pytest.raises(ValueError, match='a list of texts'):
        tokenizer('dog', 8)


def test_special_numbers():
    bert, clip = BertTokens(WORDS), CLIPTokens()
    assert (bert.pad_id, bert.mask_id, bert.end_id, bert.vocab_size) == (0, 4, 3, len(WORDS))
    assert clip.vocab_size == 49408 and clip.backend.id_to_token(clip.mask_id).endswith('</w>')


def test_sources_of_berts_words(tmp_path):
    (tmp_path / 'vocab.txt').write_text('\n'.join(WORDS))
    expected = BertTokens(WORDS)(['hotdog star'], 9).ids
    for source in (tmp_path, tmp_path / 'vocab.txt'):
        assert torch.equal(BertTokens(str(source))(['hotdog star'], 9).ids, expected)
    folder = tmp_path / 'fast'
    folder.mkdir()
    words = {word: number for number, word in enumerate(WORDS)}
    BertWordPieceTokenizer(words).save(str(folder / 'tokenizer.json'))
    assert torch.equal(BertTokens(str(folder))(['hotdog star'], 9).ids, expected)


def test_words_that_are_not_here_are_missed_at_the_first_text(monkeypatch):
    import huggingface_hub

    def no_network(*arguments, **settings):
        raise OSError('no network')

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', no_network)
    tokenizer = TASK_UTILS.build(dict(type='mmclip.BertTokens'))
    with pytest.raises(FileNotFoundError, match='hf download bert-base-uncased'):
        tokenizer(['dog'], 8)
    with pytest.raises(ValueError, match=r'no token .\[PAD\]'):
        BertTokens(['[UNK]', '[CLS]', '[SEP]', 'dog'])(['dog'], 8)
