"""Lists of files in braces, as shells and WebDataset write them."""

import re
from collections.abc import Iterator

from webdataset.shardlists import expand_urls

MAX_SHARDS = 1_000_000
RANGE = re.compile(r'(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])(?:\.\.-?(\d+))?')


def expand_braces(pattern: str) -> list[str]:
    """Expand ``'cc3m/{00000..00331}.tar'``, ``'{a,b}.tar'`` and lists joined by ``'::'``.

    Raises:
        ValueError: braces without a partner; more than :data:`MAX_SHARDS` names, counted before
            the first of them is made.
    """
    try:
        count = sum(_count(part) for part in pattern.split('::'))
        if count <= MAX_SHARDS:
            return expand_urls(pattern)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'shards: {pattern[:200]!r} cannot be expanded: {error}') from error
    raise ValueError(
        f'shards: {pattern[:200]!r} names more than {MAX_SHARDS} shards; check the '
        'numbers in its braces'
    )


def _count(pattern: str) -> int:
    """How many names a pattern stands for: its groups multiply."""
    count = 1
    for group in _groups(pattern):
        if found := RANGE.fullmatch(group):
            start, end, step = found.groups()
            ends = [int(x) if x.lstrip('-').isdigit() else ord(x) for x in (start, end)]
            count *= abs(ends[1] - ends[0]) // (int(step or 1) or 1) + 1
        else:
            # One alternative is no list: its braces stay, and what is inside is expanded.
            count *= sum(_count(part) for part in _alternatives(group))
    return count


def _groups(pattern: str) -> Iterator[str]:
    """What stands inside the outermost braces."""
    depth = start = 0
    for place, letter in _letters(pattern):
        if letter == '{':
            depth += 1
            start = place + 1 if depth == 1 else start
        elif letter == '}':
            depth -= 1
            if depth == 0:
                yield pattern[start:place]


def _alternatives(group: str) -> Iterator[str]:
    """The parts between the commas that stand in no inner braces."""
    depth = start = 0
    for place, letter in _letters(group):
        depth += (letter == '{') - (letter == '}')
        if letter == ',' and depth == 0:
            yield group[start:place]
            start = place + 1
    yield group[start:]


def _letters(pattern: str) -> Iterator[tuple[int, str]]:
    """Letters with their places; those behind a backslash mean nothing."""
    letters = iter(enumerate(pattern))
    for place, letter in letters:
        if letter == '\\':
            next(letters, None)
        else:
            yield place, letter
