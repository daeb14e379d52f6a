"""Long vocabularies in pieces that fit a text tower."""

from collections.abc import Callable, Sequence

from mmengine.logging import print_log

from mmclip.text.captions import SEPARATOR, clean_name

SPECIAL_TOKENS = 2  # at the start and the end of every text


def chunk_classes(
    names: Sequence[str],
    count_tokens: Callable[[Sequence[str]], Sequence[int]],
    *,
    max_tokens: int = 256,
    chunk_size: int = -1,
    separator: str = SEPARATOR,
) -> list[tuple[int, ...]]:
    """Which classes share a caption: consecutive ones, never one class in two.

    With ``chunk_size=40`` the chunks are those of the official loop (LVIS: 31 chunks). A chunk with
    more tokens than fit is split on, so that no class is lost without a word; the official code
    cuts its text.

    Args:
        names: K class names.
        count_tokens: A tokenizer's ``count``: texts to their numbers of tokens, special ones not
            counted.
        max_tokens: T of the text tower, special tokens included.
        chunk_size: Classes per chunk; -1 for as many as fit.
        separator: Between two classes of a caption.

    Returns:
        Numbers of the classes of each chunk.

    Raises:
        ValueError: no name, a chunk size that is neither -1 nor positive, no room for any token.
    """
    if isinstance(names, str) or not len(names):
        raise ValueError(f'names: a list of at least one class name is needed, got {names!r}')
    if chunk_size != -1 and chunk_size < 1:
        raise ValueError(f'chunk_size: {chunk_size}; allowed are -1 (as many as fit) and 1 or more')
    room = max_tokens - SPECIAL_TOKENS
    if room < 1:
        raise ValueError(f'max_tokens: {max_tokens}; at least {SPECIAL_TOKENS + 1} are needed')
    size = len(names) if chunk_size == -1 else chunk_size
    costs = count_tokens([clean_name(name) for name in names])
    between = count_tokens([separator])[0]
    long = [name for name, cost in zip(names, costs, strict=True) if cost > room]
    if long:
        print_log(
            f'{len(long)} class names have more than {room} tokens and are cut, e.g. '
            f'{long[0][:60]!r}...',
            'current',
            level=30,
        )
    chunks: list[tuple[int, ...]] = []
    for start in range(0, len(names), size):
        chunk: list[int] = []
        used = 0
        for index in range(start, min(start + size, len(names))):
            cost = costs[index] + (between if chunk else 0)
            if chunk and used + cost > room:
                chunks.append(tuple(chunk))
                chunk, used, cost = [], 0, costs[index]
            chunk.append(index)
            used += cost
        chunks.append(tuple(chunk))
    return chunks
