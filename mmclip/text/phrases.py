"""Nouns and noun phrases of captions: as words, or where they are.

A part-of-speech tagger finds them where one is installed with its data::

    pip install nltk
    python -m nltk.downloader -d data/nltk_data punkt_tab averaged_perceptron_tagger_eng
    export NLTK_DATA=data/nltk_data

Otherwise a list of words does: by default the words in all of the package's own vocabularies
(ImageNet, LVIS, Objects365, COCO, ADE20K, ...), or a list of one's own. Nothing is downloaded here.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

from mmclip.io.records import read_lines
from mmclip.text.class_names import class_names, known_vocabularies

# The official list: verbs count, plural proper nouns do not.
OFFICIAL_TAGS = frozenset('NN NNS NNP VB VBD VBG VBN VBP VBZ'.split())
TAGGER_DATA = ('tokenizers/punkt_tab', 'taggers/averaged_perceptron_tagger_eng')
DATA_STEP = (
    'pip install nltk && python -m nltk.downloader -d data/nltk_data punkt_tab '
    'averaged_perceptron_tagger_eng && export NLTK_DATA=data/nltk_data'
)
# Words of class names that are hardly ever meant as things.
_NO_NOUNS = frozenset(
    'the and for with other used from small large big long short high low old new top'.split()
)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
Span = tuple[int, int]
_QUOTE = re.compile(r"""``|''|\"""")  # NLTK writes each of them as `` or ''
# One letter per tag: determiner, adjective, noun, anything else.
_LETTERS = (('DT', 'd'), ('JJ', 'a'), ('NN', 'n'))
_GRAMMAR = re.compile(r'd?a*n+')


def nouns(
    words: Sequence[str], tags: Sequence[str], allowed: frozenset[str] = OFFICIAL_TAGS
) -> list[str]:
    """The words with an allowed Penn Treebank tag, in order, repetitions included."""
    return [word for word, tag in zip(words, tags, strict=True) if tag in allowed]


def noun_phrases(words: Sequence[str], tags: Sequence[str], *, official: bool = False) -> list[str]:
    """Runs of adjectives and nouns that end in a noun, each once.

    Args:
        words, tags: Of a caption.
        official: As the official code has it: a phrase at the very end of the caption is dropped,
            and one that comes again is glued to the one after it.
    """
    kinds = ''.join('n' if tag.startswith('NN') else 'a' if tag == 'JJ' else '.' for tag in tags)
    found: list[str] = []
    waiting: list[str] = []
    for match in re.finditer(r'[na]*n', kinds):
        phrase = ' '.join(words[match.start() : match.end()])
        if not official:
            found += [phrase] if phrase not in found else []
            continue
        waiting.append(phrase)
        joined = ' '.join(waiting)
        if match.end() < len(kinds) and joined not in found:
            found.append(joined)
            waiting = []
    return found


# What of a caption's tagged words a prompt is made of.
KINDS: dict[str, Callable[[Sequence[str], Sequence[str]], list[str]]] = {
    'noun': nouns,
    'noun_phrase': noun_phrases,
    'noun_phrase_official': partial(noun_phrases, official=True),
}


def has_tagger() -> bool:
    """Whether NLTK and the data of its tagger are here."""
    if find_spec('nltk') is None:
        return False
    import nltk

    try:
        for name in TAGGER_DATA:
            nltk.data.find(name)
    except LookupError:
        return False
    return True


@lru_cache(maxsize=1)
def tagger() -> Callable[[str], list[tuple[str, str]]]:
    """From a caption to its words with their tags; read once, as NLTK's ``pos_tag`` reads its
    weights at every call.

    Raises:
        FileNotFoundError: NLTK or its data are missing; the message names the command.
    """
    if not has_tagger():
        raise FileNotFoundError(f"nouns: NLTK's tagger or its data are missing; {DATA_STEP}")
    import nltk
    from nltk.tag import PerceptronTagger

    perceptron = PerceptronTagger()
    return lambda caption: perceptron.tag(nltk.word_tokenize(caption))


def tag(caption: str) -> tuple[list[str], list[str]]:
    """Words and Penn Treebank tags of a caption, by NLTK.

    Raises:
        FileNotFoundError: As :func:`tagger`.
    """
    pairs = tagger()(caption)
    return [word for word, _ in pairs], [kind for _, kind in pairs]


@lru_cache(maxsize=1)
def word_list() -> frozenset[str]:
    """Lower-case words of all vocabularies of the package, with simple plurals."""
    words = {
        word.lower()
        for name in known_vocabularies()
        for label in class_names(name)
        for word in _WORD.findall(label)
        if len(word) > 2
    } - _NO_NOUNS
    return frozenset(
        words | {f'{w}es' if w.endswith(('s', 'x', 'ch', 'sh')) else f'{w}s' for w in words}
    )


def listed_words(
    caption: str, words: frozenset[str] | None = None, max_words: int = 1
) -> list[str]:
    """The words of a caption that a list holds, in order, repetitions included.

    Args:
        caption: Any text.
        words: The list, lower case; None for :func:`word_list`.
        max_words: With 2, neighbors in the caption count as well: of 'a striped red star' not
            only 'striped', 'red' and 'star' but 'striped red' and 'red star'.
    """
    allowed = word_list() if words is None else words
    found = list(_WORD.finditer(caption))
    listed = [match[0].lower() in allowed for match in found]
    spans = []
    for start in range(len(found)):
        for stop in range(start + 1, min(start + max_words, len(found)) + 1):
            between = caption[found[stop - 2].end() : found[stop - 1].start()]
            if not listed[stop - 1] or (stop - start > 1 and between.strip()):
                break
            spans.append(' '.join(match[0] for match in found[start:stop]))
    return spans


def _tagged(caption: str, kind: str) -> list[str]:
    return KINDS[kind](*tag(caption))


def noun_finder(
    source: str | Sequence[str] = 'auto', kind: str = 'noun', max_words: int = 1
) -> Callable[[str], list[str]]:
    """A function from a caption to the nouns or noun phrases in it, which pickles.

    Args:
        source: ``'nltk'``, ``'word_list'`` (the package's own), a list of words, or ``'auto'``:
            NLTK if it is here, else the list.
        kind: A key of ``KINDS``; phrases need NLTK.
        max_words: Of a list, see :func:`listed_words`.

    Raises:
        ValueError: unknown source or kind, phrases from a list.
        FileNotFoundError: ``'nltk'`` without NLTK or its data.
    """
    if kind not in KINDS:
        raise ValueError(f'kind: {kind!r}; allowed are {", ".join(KINDS)}')
    if source == 'auto':
        source = 'nltk' if has_tagger() else 'word_list'
    if source == 'nltk':
        tag('')  # what is missing is said now
        return partial(_tagged, kind=kind)
    if isinstance(source, str) and source != 'word_list':
        raise ValueError(f"source: {source!r}; allowed are 'auto', 'nltk', 'word_list' or a list")
    if max_words < 1:
        raise ValueError(f'max_words: {max_words}; allowed are 1 and more')
    if kind != 'noun':
        raise ValueError(f"kind: {kind!r} needs source='nltk': {DATA_STEP}")
    words = None if source == 'word_list' else frozenset(word.lower() for word in source)
    return partial(listed_words, words=words, max_words=max_words)


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
        literal = _QUOTE if _QUOTE.fullmatch(word) else re.compile(re.escape(lowered(word)))
        found = literal.search(lower, start)
        if found is None:
            kinds, places = kinds + '.', [*places, (start, start)]
            continue
        start = found.end()
        places.append(found.span())
        kinds += next((kind for prefix, kind in _LETTERS if name.startswith(prefix)), '.')
    return [(places[m.start()][0], places[m.end() - 1][1]) for m in _GRAMMAR.finditer(kinds)]


def listed_spans(caption: str, words: frozenset[str]) -> list[Span]:
    """Runs of listed words with nothing but spaces between them.

    Args:
        caption: Any text.
        words: Lower case.
    """
    spans: list[Span] = []
    for match in _WORD.finditer(caption):
        if match[0].lower() not in words:
            continue
        start, end = match.span()
        if spans and not caption[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _words_of(names: Sequence[str]) -> frozenset[str]:
    return frozenset(word.lower() for name in names for word in _WORD.findall(name))


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
