"""Chunks of long vocabularies: all classes in order, none in two, none too long."""

import pytest
from mmengine.logging import MMLogger

from mmclip.clip.offset_tokenizer import CLIPTokens
from mmclip.text.captions import class_caption
from mmclip.text.class_chunks import chunk_classes
from mmclip.text.class_names import class_names


def words(texts):
    """A tokenizer that counts words, and full stops."""
    return [len(text.replace('.', ' . ').split()) for text in texts]


def test_chunks_of_a_size_are_the_official_ones():
    chunks = chunk_classes(class_names('lvis_v1'), lambda t: [1] * len(t), chunk_size=40)
    assert len(chunks) == 31 and [len(chunk) for chunk in chunks] == [40] * 30 + [3]
    assert [i for chunk in chunks for i in chunk] == list(range(1203))


def test_as_many_as_fit():
    # Five words and four full stops fill 9 of the 10 tokens beside the special ones; six need 11.
    chunks = chunk_classes(['x'] * 12, words, max_tokens=12)
    assert [len(chunk) for chunk in chunks] == [5, 5, 2]
    assert chunk_classes(['x'] * 12, words, max_tokens=13)[0] == tuple(range(6))


def test_a_boundary_never_falls_into_a_class():
    names = ['a b c', 'd e f', 'g h i']  # 3 + 1 + 3 = 7 tokens for two
    assert chunk_classes(names, words, max_tokens=8) == [(0,), (1,), (2,)]
    assert chunk_classes(names, words, max_tokens=9) == [(0, 1), (2,)]


def test_a_chunk_of_a_size_that_does_not_fit_is_split_on():
    names = ['a b c d'] * 4
    assert chunk_classes(names, words, max_tokens=12, chunk_size=3) == [(0, 1), (2,), (3,)]


@pytest.mark.parametrize('name', ['lvis_v1', 'objects365_v2', 'mini_world'])
def test_every_chunk_fits_the_tokenizer(name):
    names, tokenizer = class_names(name), CLIPTokens()
    chunks = chunk_classes(names, tokenizer.count, max_tokens=128)
    assert [i for chunk in chunks for i in chunk] == list(range(len(names)))
    longest = max(
        int(tokenizer([class_caption([names[i] for i in c]).text], 1000, pad=False).mask.sum())
        for c in chunks
    )
    assert 100 < longest <= 128


def test_one_class_with_300_tokens_is_alone_and_told(caplog):
    MMLogger.get_instance('test_chunks').addHandler(caplog.handler)
    chunks = chunk_classes(['x', 'long ' * 300, 'y'], words)
    assert chunks == [(0,), (1,), (2,)]
    assert '1 class names have more than 254 tokens' in caplog.text


@pytest.mark.parametrize(
    'names, settings, match',
    [
        ([], {}, 'names'),
        ('person', {}, 'names'),
        (['a'], dict(chunk_size=0), 'chunk_size: 0'),
        (['a'], dict(max_tokens=2), 'max_tokens: 2'),
    ],
)
def test_bad_input(names, settings, match):
    with pytest.raises(ValueError, match=match):
        chunk_classes(names, words, **settings)
