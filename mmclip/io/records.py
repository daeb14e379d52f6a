"""Read text, lists, csv, json and lines of json; an error names the file, the record and the field.

Text is UTF-8, with or without a byte order mark, and lines may end with CRLF. What is in another
encoding, between other delimiters, of another type or not there at all is a :class:`DamagedFile`.

Typed records are ``msgspec.Struct`` or ``TypedDict`` classes. A file of the size of LVIS (100 000
images, 1.2 million polygons, 0.9 GB) takes ``msgspec`` 5 s of a core without masks and 17 s with
them (1.8 GB beside the mapped file), ``json`` 38 s and 44 s (3.6 GB).
"""

import csv
import io
import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mmclip.io.parsing import DamagedFile, damaged, decode_text, parse_json, parsing, read_json

DATA_HELP = (
    'docs/en/datasets.md says where each dataset comes from; `python tools/make_mini_world.py '
    '--out data/mini_world` makes MiniWorld'
)
T = TypeVar('T')
_DELIMITERS = {',': 'commas', ';': 'semicolons', '\t': 'tabs', '|': 'bars', ' ': 'spaces'}


def existing_file(path: str | os.PathLike, argument: str, hint: str = DATA_HELP) -> Path:
    """The path of a file.

    Args:
        path: The file.
        argument: Who asks for it, for the message.
        hint: The way out.

    Raises:
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{argument}: {path} does not exist' + (f'; {hint}' if hint else '')
        )
    return path


def read_text(path: str | os.PathLike, where: object = None) -> str:
    """The text of a file, its lines ending with a line feed.

    Args:
        path: The file.
        where: What to call it in an error.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is not UTF-8.
    """
    with parsing(path if where is None else where):
        text = decode_text(Path(path).read_bytes())
        return text.replace('\r\n', '\n').replace('\r', '\n')


def read_lines(path: str | os.PathLike, where: object = None) -> list[tuple[int, str]]:
    """The lines of a text file that hold something, stripped, each with its number from 1.

    Args, Raises: as :func:`read_text`.
    """
    lines = ((i, line.strip()) for i, line in enumerate(read_text(path, where).split('\n'), 1))
    return [(number, line) for number, line in lines if line]


def read_csv(
    path: str | os.PathLike,
    where: object = None,
    *,
    columns: Sequence[str],
    delimiter: str = ',',
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a csv file below its head, each with the number of its line.

    Args:
        path: The file.
        where: What to call it in an error.
        columns: Names that the head must hold.
        delimiter: Between the fields.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is not UTF-8; other delimiters; the head lacks a column or names one twice;
            a line with more or fewer fields than the head.
    """
    where = path if where is None else where
    text = read_text(path, where)
    with parsing(where):
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
        head = next(reader, [])
        _check_head(head, columns, delimiter)
        rows = []
        for fields in reader:
            if len(fields) not in (0, len(head)):
                raise ValueError(
                    f'line {reader.line_num} has {len(fields)} fields, the head {len(head)}; a '
                    f'field with {_DELIMITERS.get(delimiter, delimiter)} stands between quotes'
                )
            if fields:
                rows.append((reader.line_num, dict(zip(head, fields, strict=True))))
    return rows


def _check_head(head: list[str], columns: Sequence[str], delimiter: str) -> None:
    twice = next((name for name in head if head.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'the head names {twice!r} more than once')
    if set(columns) <= set(head):
        return
    line = delimiter.join(head)
    for other, word in _DELIMITERS.items():
        if other != delimiter and set(columns) <= {part.strip() for part in line.split(other)}:
            raise ValueError(
                f'its fields are between {word}, not {_DELIMITERS.get(delimiter, delimiter)}'
            )
    wanted = ' and '.join(map(repr, columns))
    raise ValueError(
        f"needs a head with {wanted} ('{delimiter.join(columns)}') and rows below it, got {line!r}"
    )


def read_jsonl(
    path: str | os.PathLike, where: object = None, *, hint: str = ''
) -> Iterator[tuple[int, dict]]:
    """The objects of a file with one json object per line, each with the number of its line.

    Reads line by line: the file may be larger than the memory.

    Args:
        path: The file.
        where: What to call it in an error.
        hint: The way out.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: a line is no json object, or cut off, or has a key twice.
    """
    where = path if where is None else where
    with open(path, 'rb') as stream:  # text is decoded line by line, so that the line is named
        for number, line in enumerate(stream, 1):
            if line.strip():
                at = f'{where}, line {number}'
                yield number, parse_json(line, at, kind=dict, distinct=True, hint=hint)


def typed(value: Any, kind: type[T], where: object, hint: str = '') -> T:
    """A value out of json as an instance of a type, without fields that the type does not name.

    Args:
        value: What json gave.
        kind: A ``msgspec.Struct`` or whatever ``msgspec.convert`` takes.
        where: The file and the record, for the message.
        hint: The way out.

    Raises:
        DamagedFile: the value does not fit; the field is named.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DamagedFile(f'{where}: {_mismatch(error)}' + (f'; {hint}' if hint else '')) from error


_WORDS = dict(int='a whole number', float='a number', str='a text', array='a list', null='null')
_WORDS |= dict(object='an object', bool='true or false')


def _mismatch(error: msgspec.ValidationError) -> str:
    """``Expected `float`, got `str` - at `$.a[0]` `` -> 'a[0]: expected a number, got a text'."""
    text, _, field = str(error).partition(' - at `$')
    text = re.sub('Object missing required field `(.*)`', r"lacks the entry '\1'", text)
    text = re.sub(
        '`([^`]*)`',
        lambda found: ' or '.join(_WORDS.get(word, word) for word in found[1].split(' | ')),
        text,
    )
    field = field.rstrip('`').lstrip('.')
    return (f'{field}: ' if field else '') + text[:1].lower() + text[1:]


def read_typed_json(path: str | os.PathLike, where: object, kind: type[T], hint: str = '') -> T:
    """A json file as an instance of a type.

    Args:
        path: The file.
        where, kind, hint: As of :func:`typed`.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no json, has a key twice, or a field of another type.
    """
    return typed(read_json(path, where, distinct=True, hint=hint), kind, where, hint)


@contextmanager
def parsing_record(record: Any, kind: type, where: object, hint: str = '') -> Iterator[None]:
    """Like :func:`mmclip.io.parsing.parsing`, for code that takes a record apart.

    What such code raises for a field of another type says little (``TypeError``): then the record
    is compared with its type, and the message names the field.

    Args:
        record: Out of json.
        kind: Its type, as of :func:`typed`.
        where, hint: As there.
    """
    try:
        yield
    except (DamagedFile, FileNotFoundError):
        raise
    except Exception as error:
        if not isinstance(error, ValueError):
            typed(record, kind, where, hint)
        raise damaged(where, error, hint) from error


def fast_json(path: str | os.PathLike, kind: type[T]) -> T | None:
    """A large json file as an instance of a type; None if it does not fit.

    Only what the type names becomes objects. The file is mapped, not copied: fields of type
    ``msgspec.Raw`` point into it.

    Args:
        path: The file.
        kind: Its type. It need not take all that is right (NaN is none of json's numbers): the
            caller reads what does not fit in another way, which names the fault.
    """
    try:
        with open(path, 'rb') as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return msgspec.json.decode(content, type=kind)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors; an empty file
        return None
