"""Points as text: one per line, numbers between spaces or commas."""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

LINES = 1 << 17  # parsed at once, so that memory follows the points and not the text
COMMENTS = ('#', '//')


def read_table(
    lines: Iterable[str],
    columns: Sequence[int] = (0, 1, 2),
    *,
    count: int | None = None,
    delimiter: str | None = None,
) -> np.ndarray:
    """The chosen columns of lines of numbers, float64 (N, len(columns)).

    Empty lines and comments (``#``, ``//``) are skipped.

    Args:
        lines: Text lines.
        columns: Indices of the columns.
        count: Rows to read; all if None.
        delimiter: Between numbers; white space if None.

    Raises:
        ValueError: a line with too few columns or no number; less than ``count`` rows.
    """
    lines, blocks, rows = iter(lines), [], 0
    while count is None or rows < count:
        wanted = LINES if count is None else min(LINES, count - rows)
        block = list(itertools.islice(lines, wanted))
        if not block:
            break
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # a block of comments only
            blocks.append(
                np.loadtxt(
                    block, usecols=columns, delimiter=delimiter, ndmin=2, comments=COMMENTS
                ).reshape(-1, len(columns))
            )
        rows += len(blocks[-1])
    if count is not None and rows < count:
        raise ValueError(f'is cut off: its header announces {count} points, it holds {rows}')
    return np.concatenate(blocks) if blocks else np.empty((0, len(columns)))


def _numbers(line: str) -> int:
    """How many of the line's words are numbers; -1 if one is none."""
    words = line.replace(',', ' ').split()
    try:
        return len([float(word) for word in words])
    except ValueError:
        return -1


def read_text_points(path: Path, size: int) -> np.ndarray:
    """xyz of a text file: the first three columns of each line, float64 (N, 3).

    A first line may name the columns (``x,y,z,nx,ny,nz``) or hold the number of points alone (the
    usual ``pts`` file), with which the rows are compared.

    Args:
        path: The file.
        size: Its bytes.

    Raises:
        ValueError: as :func:`read_table`.
    """
    with path.open(encoding='utf-8', errors='strict') as stream:
        head: list[str] = []
        for line in stream:
            if line.strip() and not line.lstrip().startswith(COMMENTS):
                head.append(line)
                break
        if not head:
            return np.empty((0, 3))
        count, found = None, _numbers(head[0])
        if found == 1 and head[0].strip().isdigit():
            count = int(head.pop())
            if 6 * count > size:  # a point has three digits and three separators at least
                raise ValueError(f'is cut off: it announces {count} points in {size} bytes')
        elif found == -1 and not any(_numbers(w) == 1 for w in head[0].replace(',', ' ').split()):
            head.pop()
        lines: Iterator[str] = itertools.chain(head, stream)
        first = next(lines, '')
        delimiter = ',' if ',' in first else None
        return read_table(itertools.chain([first], lines), count=count, delimiter=delimiter)
