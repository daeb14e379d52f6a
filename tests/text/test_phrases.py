"""Nouns and phrases from recorded tags and from word lists, and the prompts made of them."""

import sys
from types import ModuleType

import numpy as np
import pytest

from mmclip.text import phrases
from mmclip.text.phrases import (
    has_tagger,
    listed_words,
    noun_finder,
    noun_phrases,
    nouns,
    word_list,
)
from mmclip.text.prompts import prompt_texts

WORDS = 'the big dog of Mount Fuji saw a small red boat'.split()
TAGS = 'DT JJ NN IN NNP NNP VBD DT JJ JJ NN'.split()


def test_nouns_and_verbs_by_tag():
    assert nouns(WORDS, TAGS) == ['dog', 'Mount', 'Fuji', 'saw', 'boat']
    assert nouns(['Alps', 'dogs'], ['NNPS', 'NNS']) == ['dogs']  # the official list lacks NNPS
    assert nouns([], []) == []


def test_phrases_by_tag():
    assert noun_phrases(WORDS, TAGS) == ['big dog', 'Mount Fuji', 'small red boat']
    assert noun_phrases(['red', 'big'], ['JJ', 'JJ']) == []
    assert noun_phrases(['dog', 'red', '.'], ['NN', 'JJ', '.']) == ['dog']
    assert noun_phrases(['dog', '.', 'dog'], ['NN', '.', 'NN']) == ['dog']


def test_official_phrases_drop_the_last_and_glue_repetitions():
    assert noun_phrases(WORDS, TAGS, official=True) == ['big dog', 'Mount Fuji']
    words, tags = 'dog , dog , cat .'.split(), 'NN , NN , NN .'.split()
    assert noun_phrases(words, tags, official=True) == ['dog', 'dog cat']


def test_words_of_a_list():
    assert listed_words("A Red star, a RED dot; the star's", frozenset({'red', 'star'})) == [
        'Red',
        'star',
        'RED',
    ]
    found = noun_finder(['Star', 'red'])
    assert found('a red star and a blue ring') == ['red', 'star']
    assert found('nothing here') == [] and found('') == []


def test_neighbors_of_a_list():
    words = frozenset({'striped', 'red', 'star', 'dog'})
    assert listed_words('a striped red star, red dog', words, max_words=2) == [
        'striped',
        'striped red',
        'red',
        'red star',
        'star',  # a comma parts it from the next
        'red',
        'red dog',
        'dog',
    ]
    assert listed_words('red or star', words, max_words=3) == ['red', 'star']
    assert 'striped red star' in listed_words('striped red star', words, max_words=3)
    with pytest.raises(ValueError, match='max_words: 0'):
        noun_finder(['dog'], max_words=0)


def test_the_package_s_own_list():
    words = word_list()
    assert {'dog', 'dogs', 'boat', 'boxes', 'bus', 'buses', 'sky'} <= words
    assert not {'the', 'and', 'with', 'quickly', 'very'} & words
    find = noun_finder('word_list')
    assert find('Two dogs on a small boat under the sky') == ['dogs', 'boat', 'sky']


@pytest.fixture
def no_tagger_yet():
    phrases.tagger.cache_clear()
    yield
    phrases.tagger.cache_clear()


@pytest.mark.usefixtures('no_tagger_yet')
def test_the_tagger_is_read_once(monkeypatch):
    built = []

    class PerceptronTagger:
        def __init__(self):
            built.append(self)

        def tag(self, words):
            return [(word, 'NN') for word in words]

    nltk, tags = ModuleType('nltk'), ModuleType('nltk.tag')
    nltk.word_tokenize, tags.PerceptronTagger = str.split, PerceptronTagger
    monkeypatch.setitem(sys.modules, 'nltk', nltk)
    monkeypatch.setitem(sys.modules, 'nltk.tag', tags)
    looked = []
    monkeypatch.setattr(phrases, 'has_tagger', lambda: looked.append(1) or True)
    find = noun_finder('nltk')
    assert [find(caption) for caption in ('red dog', 'cat')] == [['red', 'dog'], ['cat']]
    assert len(built) == len(looked) == 1


def test_official_phrases_are_a_kind_of_their_own(monkeypatch):
    monkeypatch.setattr(phrases, 'tag', lambda caption: (WORDS, TAGS) if caption else ([], []))
    assert noun_finder('nltk', 'noun_phrase')('x') == noun_phrases(WORDS, TAGS)
    assert noun_finder('nltk', 'noun_phrase_official')('x') == ['big dog', 'Mount Fuji']


@pytest.mark.usefixtures('no_tagger_yet')
def test_without_a_tagger_the_list_is_taken_and_nltk_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr(phrases, 'has_tagger', lambda: False)
    assert noun_finder('auto')('a dog that runs') == ['dog']
    with pytest.raises(FileNotFoundError, match='python -m nltk.downloader'):
        noun_finder('nltk')


@pytest.mark.skipif(not has_tagger(), reason='NLTK and its data are not here')
def test_with_a_tagger():
    assert noun_finder('nltk')('A young boy plays with two red balls .') == [
        'boy',
        'plays',
        'balls',
    ]
    assert noun_finder('nltk', 'noun_phrase')('A young boy has red balls .') == [
        'young boy',
        'red balls',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(('nlkt',), "source: 'nlkt'"), (('auto', 'verb'), "kind: 'verb'")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        noun_finder(*arguments)
    with pytest.raises(ValueError, match="needs source='nltk'"):
        noun_finder(['dog'], 'noun_phrase')


def test_prompts_draw_without_replacement_and_fill_up_with_the_caption():
    rng = np.random.RandomState(0)
    texts = prompt_texts('a b c', ['a', 'b', 'c'], 3, ['one {}', 'two {}'], rng)
    assert texts[0] == 'a b c' and sorted(t[-1] for t in texts[1:]) == ['a', 'b', 'c']
    assert {t[:3] for t in texts[1:]} <= {'one', 'two'}
    assert prompt_texts('x y', ['y'], 3, ['the {}'], rng) == ['x y', 'the y', 'x y', 'x y']
    assert prompt_texts('x y', [], 2, ['the {}'], rng) == ['x y'] * 3
    assert prompt_texts('x y', ['y'], 0, ['the {}'], rng) == ['x y']
    # A word with braces is not a template.
    assert prompt_texts('x', ['{0}'], 1, ['the {}'], rng) == ['x', 'the {0}']
