"""Where the noun phrases of a caption are: by NLTK's tagger, or by a list of words."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmclip.io.records import read_lines
from mmclip.text.class_names import class_names, known_vocabularies
from mmclip.text.phrases import DATA_STEP, has_tagger, tag, word_list

Span = tuple[int, int]
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
QUOTE = re.compile(r"""``|''|\"""")  # NLTK writes each of them as `` or ''
# One letter per tag: determiner, adjective, noun, anything else.
KINDS = (('DT', 'd'), ('JJ', 'a'), ('NN', 'n'))
GRAMMAR = re.compile(r'd?a*n+')


def lowered(text: str) -> str:
    """Lower case letter by letter, so that places stay: a few small letters are two characters."""
    return ''.join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def grammar_spans(caption: str, words: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """Phrases of the form determiner? adjective* noun+.

    Source: official ``predictor_glip.py``, which looks each phrase up in the caption again and so
    takes it for every place where its letters are; here a phrase is where its words are.

    Args:
        caption: The text that was tagged.
        words, tags: Its tokens with Penn Treebank tags. Tokens that are not in the caption are
            passed over.
    """
    places, kinds, start = [], '', 0
    lower = lowered(caption)
    for word, name in zip(words, tags, strict=True):
        literal = QUOTE if QUOTE.fullmatch(word) else re.compile(re.escape(lowered(word)))
        found = literal.search(lower, start)
        if found is None:
            kinds, places = kinds + '.', [*places, (start, start)]
            continue
        start = found.end()
        places.append(found.span())
        kinds += next((kind for prefix, kind in KINDS if name.startswith(prefix)), '.')
    return [(places[m.start()][0], places[m.end() - 1][1]) for m in GRAMMAR.finditer(kinds)]


def listed_spans(caption: str, words: frozenset[str]) -> list[Span]:
    """Runs of listed words with nothing but spaces between them.

    Args:
        caption: Any text.
        words: Lower case.
    """
    spans: list[Span] = []
    for match in WORD.finditer(caption):
        if match[0].lower() not in words:
            continue
        start, end = match.span()
        if spans and not caption[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _words_of(names: Sequence[str]) -> frozenset[str]:
    return frozenset(word.lower() for name in names for word in WORD.findall(name))


@dataclass(frozen=True)
class PhraseFinder:
    """From a caption to the ranges of characters of its noun phrases.

    Args:
        name: Tells this finder from others.
        words: A list of words, lower case; None for NLTK.
    """

    name: str
    words: frozenset[str] | None

    def __call__(self, caption: str) -> list[Span]:
        if self.words is None:
            return grammar_spans(caption, *tag(lowered(caption)))
        return listed_spans(caption, self.words)


def phrase_finder(source: str | Sequence[str] = 'auto') -> PhraseFinder:
    """Who finds the noun phrases.

    Args:
        source: ``'nltk'``; ``'word_list'``, the words of all vocabularies of the package; the name
            of one of them (``'mini_world'``); a text file with a word or name per line; such a
            list; or ``'auto'``: NLTK if it is here, else the word list.

    Raises:
        ValueError: unknown source, an empty list.
        FileNotFoundError: NLTK or its data are missing; the message names the command.
    """
    if isinstance(source, str) and source == 'auto':
        source = 'nltk' if has_tagger() else 'word_list'
    if isinstance(source, str) and source == 'nltk':
        tag('')  # what is missing is said now
        return PhraseFinder('nltk', None)
    if not isinstance(source, str):
        words = _words_of(source)
    elif source == 'word_list':
        words = word_list()
    elif Path(source).is_file():
        words = _words_of([line for _, line in read_lines(source, f'source: {source}')])
    elif source in known_vocabularies():
        words = _words_of(class_names(source))
    else:
        raise ValueError(
            f"source: {source!r}; allowed are 'auto', 'nltk' ({DATA_STEP}), 'word_list', a text "
            f'file, or one of {", ".join(known_vocabularies())}'
        )
    if not words:
        raise ValueError(f'source: {source!r} holds no word')
    digest = hashlib.sha256('\n'.join(sorted(words)).encode()).hexdigest()[:16]
    return PhraseFinder(f'{len(words)} words {digest}', words)
