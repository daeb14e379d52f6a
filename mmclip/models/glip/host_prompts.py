"""Texts that come with an image by mmdet's own inference: ``text_prompt=``, ``texts=``."""

from collections.abc import Sequence

from mmdet.structures import DetDataSample

from mmclip.text.captions import separate_phrases
from mmclip.text.phrases import phrase_finder

SEPARATOR = '. '


def names_in(text: str | Sequence[str]) -> tuple[str, ...]:
    """'a bench. a car.' -> ('a bench', 'a car'), each name once; mmdet's ``custom_entities``.

    Raises:
        ValueError: no name.
    """
    pieces = text.strip(SEPARATOR).split(SEPARATOR) if isinstance(text, str) else text
    names = tuple(dict.fromkeys(name.strip(' .') for name in pieces))
    if not any(names):
        raise ValueError(
            f'text: {text!r} names nothing; write names with full stops between: a bench. a car'
        )
    return tuple(filter(None, names))


def asked_names(sample: DetDataSample, known: Sequence[str]) -> tuple[str, ...] | None:
    """The names to look for in one image alone; None: the model's vocabulary, or a caption.

    A dataset that hands over its classes (``return_classes=True``) asks for nothing else than
    the vocabulary.
    """
    text = sample.get('text')
    if text is None or 'phrase_spans' in sample or sample.get('tokens_positive') is not None:
        return None
    if isinstance(text, str) and not sample.get('custom_entities', False):
        return None
    names = names_in(text)
    if not isinstance(text, str) and set(names) == {name.strip(' .') for name in known}:
        return None
    return names


def find_phrases(sample: DetDataSample, *, apart: bool) -> None:
    """Give a sample with a free caption its ``phrase_spans``: ``tokens_positive``, or noun phrases.

    Args:
        sample: Changed.
        apart: Whether the text tower reads phrases apart.

    Raises:
        ValueError: ``tokens_positive`` that are no ranges in the text; no noun phrase.
    """
    text, spans = sample.text, sample.get('tokens_positive')
    if spans is None:
        spans = [[[start, end]] for start, end in phrase_finder('auto')(text)]
        if not spans:
            raise ValueError(
                f'text: no noun phrase in {text!r}; custom_entities=True takes what stands between '
                'its full stops'
            )
    elif not _are_ranges(spans, len(text)):
        raise ValueError(
            f'tokens_positive: {spans!r} are no ranges in {text!r}; give for each phrase a list of '
            '[start, end]'
        )
    if apart:
        caption = separate_phrases(text, spans)
        text, spans = caption.text, caption.spans
    spans = [[[int(start), int(end)] for start, end in pieces] for pieces in spans]
    sample.set_metainfo(dict(text=text, phrase_spans=spans))


def _are_ranges(spans: object, length: int) -> bool:
    try:
        pieces = [(start, end) for phrase in spans for start, end in phrase]
        return bool(pieces) and all(0 <= start < end <= length for start, end in pieces)
    except (TypeError, ValueError):
        return False
