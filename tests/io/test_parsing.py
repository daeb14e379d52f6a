"""Whatever a parser raises becomes one error that names the file."""

import json
import zlib

import pytest

from mmclip.io.parsing import (
    DamagedFile,
    finite_numbers,
    is_digits,
    parsing,
    read_json,
    texts,
    whole_number,
)


@pytest.mark.parametrize(
    'error',
    [zlib.error('x'), MemoryError(), RecursionError(), OverflowError('x'), KeyError('x'),
     SyntaxError('x'), RuntimeError('x'), UnicodeDecodeError('utf-8', b'x', 0, 1, 'x')],
)  # fmt: skip
def test_every_exception_names_the_file_once(error):
    with pytest.raises(DamagedFile, match='^a.json: entry 3: .*; make it again$') as info:
        with parsing('outer file'), parsing('a.json: entry 3', 'make it again'):
            raise error
    assert info.value.__cause__ is error


def test_a_message_of_several_lines_becomes_one():
    with pytest.raises(DamagedFile, match=r'^a: OSError: no such size: 1 check it; hint$'):
        with parsing('a', 'hint'):
            raise OSError('no such size:\n  1\ncheck it\n')


def test_missing_files_and_interrupts_pass():
    for error in (FileNotFoundError('gone'), KeyboardInterrupt()):
        with pytest.raises(type(error)), parsing('a.json'):
            raise error


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'is no json or is cut off'),
        (b'[1, ', 'is no json or is cut off'),
        (b'[' * 200000, 'nested too deeply'),
        (b'"\xff"', 'is no UTF-8 text'),
        (b'9' * 5000, '4300 digits'),
        (b'[1]', 'expected an object, got a list'),
        (b'null', 'expected an object, got null'),
        (b'{"b": 1}', "lacks the entry 'a'"),
        (b'{"a": 1, "a": 2}', "the key 'a' comes more than once"),
    ],
)
def test_damaged_json(tmp_path, data, message):
    path = tmp_path / 'a.json'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf'a\.json: .*{message}'):
        read_json(path, kind=dict, keys=('a',), distinct=True)
    path.write_text(json.dumps(dict(a=1)))
    assert read_json(path, kind=dict, keys=('a',), distinct=True) == dict(a=1)


def test_checks_of_values():
    assert whole_number(2.0, 'n') == 2 and type(whole_number(2.0, 'n')) is int
    for bad in (1.5, True, '1', None, float('inf'), float('nan'), [1]):
        with pytest.raises(ValueError, match='n is .*not a whole number'):
            whole_number(bad, 'n')
    with pytest.raises(ValueError, match='n is 0, less than 1'):
        whole_number(0, 'n', least=1)
    assert finite_numbers([1, 2.5], 2, 'box') == [1, 2.5]
    for bad in ([1], '12', [1, '2'], [1, None], [1, True], None, [1, float('nan')]):
        with pytest.raises(ValueError, match='box is '):
            finite_numbers(bad, 2, 'box')
    assert is_digits('012') and not any(map(is_digits, ('²', '٣', '', '-1', '1.0')))
    for bad in ('abc', {'a': 1}, [1], ['a', None]):
        with pytest.raises(ValueError, match='names: '):
            texts(bad, 'names')
