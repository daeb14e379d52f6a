"""Noun phrases: the grammar on tags, runs of listed words, sources."""

import sys

import pytest

from mmclip.text import phrases
from mmclip.text.phrases import grammar_spans, listed_spans, lowered, phrase_finder


def said(caption, spans):
    return [caption[start:end] for start, end in spans]


def test_the_grammar_takes_determiner_adjectives_and_nouns():
    caption = 'Two dogs chase the big red ball behind an old bus stop'
    tags = 'CD NNS VBP DT JJ JJ NN IN DT JJ NN NN'.split()
    words = caption.lower().split()
    found = said(caption, grammar_spans(caption, words, tags))
    assert found == ['dogs', 'the big red ball', 'an old bus stop']


def test_an_adjective_or_determiner_without_a_noun_is_no_phrase():
    assert grammar_spans('the red', ['the', 'red'], ['DT', 'JJ']) == []


def test_a_word_that_comes_twice_is_two_phrases_at_their_places():
    caption = 'a cat sees a cat'
    spans = grammar_spans(caption, caption.split(), 'DT NN VBZ DT NN'.split())
    assert spans == [(0, 5), (11, 16)]


def test_tokens_that_are_not_in_the_caption_are_passed_over():
    caption = 'a "red" car'
    words, tags = ['a', '``', 'red', "''", 'car'], ['DT', '``', 'JJ', "''", 'NN']
    assert said(caption, grammar_spans(caption, words, tags)) == ['car']


def test_a_quotation_mark_is_not_looked_for_far_ahead():
    caption = 'the "big" dog and a black cat on a 19\'\' screen'
    words = "the `` big '' dog and a black cat on a 19 '' screen".split()
    tags = "DT `` JJ '' NN CC DT JJ NN IN DT CD '' NN".split()
    assert said(caption, grammar_spans(caption, words, tags)) == ['dog', 'a black cat', 'screen']
    caption = "a ''red'' car by ``a bus``"
    words = "a '' red '' car by `` a bus ``".split()
    tags = "DT '' JJ '' NN IN `` DT NN ``".split()
    assert said(caption, grammar_spans(caption, words, tags)) == ['car', 'a bus']


def test_letters_whose_small_ones_are_two_move_nothing():
    caption = 'İstanbul İzmir: a red car'
    words, tags = [*lowered(caption).replace(':', ' :').split()], 'NN NN : DT JJ NN'.split()
    assert len(caption.lower()) > len(caption)
    found = said(caption, grammar_spans(caption, words, tags))
    assert found == ['İstanbul İzmir', 'a red car']


def test_runs_of_listed_words():
    caption = 'A striped red star, a Blue moon and the red.'
    words = frozenset('striped red star blue moon'.split())
    assert said(caption, listed_spans(caption, words)) == ['striped red star', 'Blue moon', 'red']
    assert listed_spans('', words) == [] == listed_spans('nothing here', words)


def test_sources(tmp_path, monkeypatch):
    caption = 'this shows a plain cyan bolt beside every striped red star.'
    expected = ['plain cyan bolt', 'striped red star']
    assert said(caption, phrase_finder('mini_world')(caption)) == expected
    assert 'striped red star' in said(caption, phrase_finder('word_list')(caption))
    (tmp_path / 'words.txt').write_text('red star\nbolt\n')
    from_file = phrase_finder(str(tmp_path / 'words.txt'))
    assert said(caption, from_file(caption)) == ['bolt', 'red star']
    from_list = phrase_finder(['bolt', 'red star'])
    assert from_list.name == from_file.name != phrase_finder(['bolt']).name
    monkeypatch.setattr(phrases, 'has_tagger', lambda: True)
    tagged = (['a', 'star'], ['DT', 'NN'])
    monkeypatch.setattr(phrases, 'tag', lambda text: tagged)
    assert phrase_finder('auto').name == 'nltk'
    assert phrase_finder('nltk')('A star') == [(0, 6)]


def test_bad_sources(monkeypatch):
    with pytest.raises(ValueError, match='mini_world'):
        phrase_finder('no_such_words')
    with pytest.raises(ValueError, match='no word'):
        phrase_finder([])
    phrases.tagger.cache_clear()
    monkeypatch.setitem(sys.modules, 'nltk', None)
    monkeypatch.setattr(phrases, 'has_tagger', lambda: False)
    assert phrase_finder('auto').words
    with pytest.raises(FileNotFoundError, match='nltk.downloader'):
        phrase_finder('nltk')
