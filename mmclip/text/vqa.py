"""Questions and answers as grounding: the boxes of the answer go to a mask token."""

from collections.abc import Sequence

from tokenizers import decoders

from mmclip.text.captions import Caption
from mmclip.text.offset_tokenizers import OffsetTokenizer


def mask_answer(
    question: str, caption: str, spans: Sequence[Sequence[Sequence[int]]], mask_token: str
) -> Caption:
    """'what color is the dog white and black' -> 'what color is the dog [MASK]'.

    The answer is cut off and a mask token put in its place. Ranges of characters that touch the
    answer (also with their ends) move to the mask token.

    Source: "divert boxes" of the official pre-training data.

    Args:
        question: Without the answer.
        caption: The question, a space, and the answer.
        spans: For each phrase its ranges of characters in ``caption``.
        mask_token: What stands for a hidden word, e.g. the tokenizer's.

    Raises:
        ValueError: a caption that does not begin with the question.
    """
    if not caption.startswith(question):
        raise ValueError(
            f'caption: {caption[:60]!r} does not begin with the question {question[:60]!r}'
        )
    start = len(question) + 1  # behind the space
    mask = (start, start + len(mask_token))
    moved = tuple(
        tuple(mask if a <= len(caption) and b >= start else (a, b) for a, b in pieces)
        for pieces in spans
    )
    return Caption(f'{question} {mask_token}', moved)


def mask_text(tokenizer: OffsetTokenizer) -> str:
    """What to write in a text to get the tokenizer's mask token: '[MASK]', or CLIP's stand-in."""
    token = tokenizer.backend.id_to_token(tokenizer.mask_id)
    return decoders.ByteLevel().decode([token.removesuffix('</w>')])
