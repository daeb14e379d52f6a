"""Captions made of class names, and where each name stands in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
SEPARATOR = '. '
_BRACKETS = re.compile(r'\(.*\)')


@dataclass(frozen=True)
class Caption:
    """A text and its phrases.

    Args:
        text: What the text tower reads.
        spans: For each phrase (or class) its pieces as half-open ranges of characters.
    """

    text: str
    spans: tuple[tuple[Span, ...], ...]

    def __len__(self) -> int:
        return len(self.spans)

    def phrase(self, index: int) -> str:
        """The words of a phrase."""
        return ' '.join(self.text[start:end] for start, end in self.spans[index])


def clean_name(name: str) -> str:
    """A class name as GLIP writes it: 'hot_dog_(food)' -> 'hot dog '.

    From the first opening to the last closing bracket everything goes, underscores become spaces,
    two spaces one. A name of which nothing is left keeps the words inside its brackets.

    Source: official ``od_to_grounding.py``, which would leave such a name empty.
    """
    cleaned = _BRACKETS.sub('', name).replace('_', ' ').replace('  ', ' ')
    if cleaned.strip():
        return cleaned
    return re.sub(r'[()_]+', ' ', name).strip() or name


def prompt_parts(name: str, prompt: Mapping[str, str]) -> tuple[str, str, str]:
    """What stands in front of a class in a caption, its own words, and what stands behind them."""
    return prompt.get('prefix', ''), clean_name(prompt.get('name', name)), prompt.get('suffix', '')


def class_caption(
    names: Sequence[str],
    *,
    separator: str = SEPARATOR,
    prompts: Sequence[Mapping[str, str]] | None = None,
    intro: str = '',
    suppress: Sequence[str] = (),
) -> Caption:
    """'person. stop sign. hot dog' and the place of each class in it.

    Between two names stands the separator, behind the last one nothing.

    Source: official ``create_queries_and_maps`` and ``convert_od_to_grounding_simple``.

    Args:
        names: K class names, in the order in which they are to be read.
        separator: Between two classes.
        prompts: K dicts with any of ``prefix``, ``name`` (replaces the class name) and ``suffix``;
            the words around the name do not count as the class.
        intro: In front of everything, e.g. 'object detection : '.
        suppress: Further words at the end that are no classes: they draw scores away from those.

    Raises:
        ValueError: no name; a number of prompts that is not that of the names.
    """
    if isinstance(names, str) or not len(names):
        raise ValueError(f'names: a list of at least one class name is needed, got {names!r}')
    if prompts is not None and len(prompts) != len(names):
        raise ValueError(f'prompts: {len(prompts)} for {len(names)} names; one for each is needed')
    text, spans = intro, []
    for index, name in enumerate(names):
        before, word, behind = prompt_parts(name, prompts[index] if prompts is not None else {})
        text += (separator if index else '') + before
        spans.append(((len(text), len(text) + len(word)),))
        text += word + behind
    return Caption(''.join([text, *(separator + word for word in suppress)]), tuple(spans))


def separate_phrases(text: str, spans: Sequence[Sequence[Span]]) -> Caption:
    """The phrases of a caption alone, a full stop between; one without words stays without.

    For a text tower that reads parts apart, see :class:`mmclip.CLIPTokenEncoder`.
    """
    joined, places = '', []
    for pieces in spans:
        phrase = ' '.join(text[start:end] for start, end in pieces)
        joined += SEPARATOR if joined and phrase else ''
        places.append(((len(joined), len(joined) + len(phrase)),) if phrase else ())
        joined += phrase
    return Caption(joined, tuple(places))


def absent_phrases(other: Caption, own: Caption) -> str:
    """The phrases of another image's caption that this image's caption says nothing of, apart.

    One whose words hold or are held by those of an own phrase ('star' and 'red star') may well be
    in the image and is left out. Others can still be true by chance: a 'dotted star' where the
    caption says 'red star'.
    """
    phrases = [own.phrase(index) for index in range(len(own))]
    said = [set(phrase.split()) for phrase in phrases if phrase]
    kept = []
    for index in range(len(other)):
        words = set(other.phrase(index).split())
        if words and not any(words <= own_words or words >= own_words for own_words in said):
            kept.append(other.phrase(index))
    return SEPARATOR.join(kept)


def pack_captions(
    caption: Caption, others: Sequence[str], order: Sequence[int]
) -> tuple[Caption, Span]:
    """Several captions one after the other, of which one has phrases.

    Each ends with a full stop and a space. Phrases keep their numbers, their spans move.

    Source: official ``CaptionTSV.pack_caption``.

    Args:
        caption: The image's own.
        others: Captions of other images.
        order: Numbers of the captions in the order of the text, 0 for the image's own, i for
            ``others[i - 1]``.

    Returns:
        The long caption, and the range of characters of the image's own one.
    """
    text, start = '', 0
    for number in order:
        piece = caption.text if number == 0 else others[number - 1]
        if number == 0:
            start = len(text)
        text += piece + ('' if piece.endswith('.') else '.') + ' '
    spans = tuple(tuple((a + start, b + start) for a, b in pieces) for pieces in caption.spans)
    return Caption(text, spans), (start, start + len(caption.text))
