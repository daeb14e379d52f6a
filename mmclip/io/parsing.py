"""One error for whatever a damaged file makes its parser raise: it names the file and the record.

Which exceptions a parser raises for bytes that nobody meant for it cannot be listed: JSON's nesting
gives a ``RecursionError``, a zip a ``BadZipFile`` or a ``zlib.error``, a size in a header a
``MemoryError``. So every parser of a data file runs within :func:`parsing`, which takes them all.
"""

import codecs
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MARKS = {
    codecs.BOM_UTF32_LE: 'UTF-32',
    codecs.BOM_UTF32_BE: 'UTF-32',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}


class DamagedFile(ValueError):
    """A file, or a record of one, that is not what it should be; the message names it."""


def damaged(where: object, error: BaseException, hint: str = '') -> DamagedFile:
    """The error to raise, from what a parser raised.

    Args:
        where: The file, and the record in it.
        error: What the parser raised; a :class:`DamagedFile` already names its place and is
            returned as it is.
        hint: The way out, behind the reason.
    """
    if isinstance(error, DamagedFile):
        return error
    reason = ' '.join(line.strip() for line in _reason(error).splitlines())  # one line in a log
    return DamagedFile(f'{where}: {reason}' + (f'; {hint}' if hint else ''))


@contextmanager
def parsing(where: object, hint: str = '') -> Iterator[None]:
    """Turn every exception of the block but a missing file into a :class:`DamagedFile`.

    For the parser alone: an error of one's own code in the block would be blamed on the file.

    Args:
        where, hint: As :func:`damaged`.
    """
    try:
        yield
    except (DamagedFile, FileNotFoundError):
        raise
    except Exception as error:
        raise damaged(where, error, hint) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f'is no json or is cut off ({error})'
    if isinstance(error, UnicodeDecodeError):
        return 'is no UTF-8 text'
    if isinstance(error, RecursionError):
        return 'is nested too deeply'
    if isinstance(error, MemoryError):
        return 'asks for more memory than there is'
    if isinstance(error, KeyError):
        return f'lacks the entry {error}'
    if isinstance(error, ValueError):
        return str(error)
    return f'{type(error).__name__}: {error}'


def decode_text(data: bytes) -> str:
    """UTF-8 text without its byte order mark.

    Raises:
        ValueError: another encoding; it is named as far as it can be told.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            raise ValueError(f'is {name} text; save it as UTF-8')
    if b'\0' in data[:4]:
        raise ValueError('is UTF-16 text, or no text at all; save it as UTF-8')
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b'\n', 0, error.start) + 1
        raise ValueError(
            f'is no UTF-8 text but perhaps ISO-8859-1 (byte 0x{error.object[error.start]:02x} in '
            f'line {line}); save it as UTF-8'
        ) from error


def parse_json(
    text: str | bytes,
    where: object,
    *,
    kind: type | tuple[type, ...] = (dict, list),
    keys: tuple[str, ...] = (),
    object_hook: Callable[[dict], Any] | None = None,
    distinct: bool = False,
    hint: str = '',
) -> Any:
    """Parse json.

    Args:
        text: The json.
        where: The file or its line, for the message.
        kind: What the json must be.
        keys: Entries that it must have if it is an object.
        object_hook: As of ``json.loads``.
        distinct: Whether a key that an object has twice is an error; json takes the last one.
        hint: The way out.

    Raises:
        DamagedFile: anything else.
    """
    with parsing(where, hint):
        pairs_hook = _distinct if distinct else None
        text = text if isinstance(text, str) else decode_text(text)
        content = json.loads(text, object_hook=object_hook, object_pairs_hook=pairs_hook)
        if not isinstance(content, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise ValueError(f'expected {" or ".join(map(_word, kinds))}, got {_word(content)}')
        if isinstance(content, dict):
            for key in keys:
                content[key]
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key {twice!r} comes more than once')
    return content


def read_json(path: str | os.PathLike, where: object = None, **options: Any) -> Any:
    """Read a json file; ``options`` as :func:`parse_json`.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no json, or not of the kind.
    """
    where = path if where is None else where
    with parsing(where, options.get('hint', '')):
        text = Path(path).read_bytes()
    return parse_json(text, where, **options)


_WORDS = {dict: 'an object', list: 'a list', str: 'a text', int: 'a number', float: 'a number'}
_WORDS |= {bool: 'true or false', type(None): 'null'}


def _word(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    return _WORDS.get(kind, kind.__name__)


def whole_number(value: Any, name: str, *, least: int | None = None) -> int:
    """A number without a fraction as an int: ``2.0`` is 2; ``1.5``, ``true`` and ``'1'`` are none.

    Raises:
        ValueError: anything else, or less than ``least``.
    """
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value != int(value):
        raise ValueError(f'{name} is {_short(value)}, not a whole number')
    if least is not None and value < least:
        raise ValueError(f'{name} is {_short(value)}, less than {least}')
    return int(value)


def finite_numbers(values: Any, count: int, name: str) -> list:
    """So many finite numbers, as they are.

    Raises:
        ValueError: anything else.
    """
    good = isinstance(values, list | tuple) and len(values) == count
    if not good or not all(type(value) in (int, float) for value in values):
        raise ValueError(f'{name} is {_short(values)}, not {count} numbers')
    if not all(map(math.isfinite, values)):
        raise ValueError(f'{name} is {_short(values)}, not finite')
    return values


def texts(value: Any, name: str) -> list[str]:
    """A list of texts.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(f'{name}: expected a list of texts, got {_word(value)}')
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise ValueError(f'{name}: entry {index} is {_short(text)}, not a text')
    return list(value)


def is_digits(text: str) -> bool:
    """Whether ``int`` reads it: ``str.isdigit`` is also true of '²'."""
    return text.isascii() and text.isdigit()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
