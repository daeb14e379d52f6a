"""Text, lists, csv, json and typed records: what is right, and the place of what is wrong."""

import json

import msgspec
import pytest

from mmclip.io.parsing import DamagedFile, read_json
from mmclip.io.records import (
    existing_file,
    fast_json,
    parsing_record,
    read_csv,
    read_jsonl,
    read_lines,
    read_text,
    read_typed_json,
    typed,
)


class Box(msgspec.Struct):
    bbox: list[float]
    name: str = ''


class Image(msgspec.Struct):
    file: str
    boxes: list[Box]


@pytest.fixture
def file(tmp_path):
    def write(content, name='a.txt'):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_byte_order_marks_and_line_ends(file):
    path = file(b'\xef\xbb\xbfone\r\n\r\n \xc3\xa9 two \rthree')
    assert read_text(path) == 'one\n\n é two \nthree'
    assert read_lines(path) == [(1, 'one'), (3, 'é two'), (4, 'three')]
    assert read_lines(file('')) == []
    assert read_json(file(b'\xef\xbb\xbf[1]')) == [1]
    lines = read_jsonl(file(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}'))
    assert list(lines) == [(1, dict(a=1)), (3, dict(a=2))]


@pytest.mark.parametrize(
    ('encoding', 'message'),
    [
        ('utf-16', 'is UTF-16 text; save it as UTF-8'),
        ('utf-16-le', 'is UTF-16 text, or no text at all'),
        ('utf-32', 'is UTF-32 text'),
        ('latin-1', r'is no UTF-8 text but perhaps ISO-8859-1 \(byte 0xe9 in line 2\)'),
    ],
)
def test_other_encodings_are_named(file, encoding, message):
    for read in (read_text, read_lines, lambda path: read_csv(path, columns=('id',))):
        with pytest.raises(DamagedFile, match=rf'^.*a\.txt: {message}'):
            read(file('id\ncafé\n'.encode(encoding)))
    with pytest.raises(DamagedFile, match=message.replace('line 2', 'line 1')):
        read_json(file('["é"]'.encode(encoding)))
    with pytest.raises(DamagedFile, match=r'a\.txt, line 1: is'):
        list(read_jsonl(file('{"a": "é"}'.encode(encoding))))


def test_csv(file):
    path = file('file,name\r\n\r\n"a, b.png","two\nlines"\nc.png,\n')
    rows = [(4, dict(file='a, b.png', name='two\nlines')), (5, dict(file='c.png', name=''))]
    assert read_csv(path, columns=('name',)) == rows
    assert read_csv(file('a\tb\n1\t2\n'), columns=('a', 'b'), delimiter='\t') == [
        (2, dict(a='1', b='2'))
    ]
    assert read_csv(file('file,name\n'), columns=('file',)) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r"needs a head with 'id' and 'name' \('id,name'\) and rows below it, got ''"),
        ('id,word\n0,a\n', "needs a head with .* got 'id,word'"),
        ('id;name\n0;a\n', 'its fields are between semicolons, not commas'),
        ('id\tname\n0\ta\n', 'its fields are between tabs, not commas'),
        ('id,name,id\n0,a,0\n', "the head names 'id' more than once"),
        ('id,name\n0,a\n1,b,c\n', 'line 3 has 3 fields, the head 2; a field with commas'),
        ('id,name\n0,a\n1', 'line 3 has 1 fields, the head 2'),
        ('id,name\n"0,a\n1,b\n', 'line 3 has 1 fields, the head 2'),
    ],
)
def test_bad_csv(file, text, message):
    with pytest.raises(DamagedFile, match=f'^classes: a.csv: {message}'):
        read_csv(file(text), 'classes: a.csv', columns=('id', 'name'))


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('[1]', 'expected an object, got a list'),
        ('{"a": 1, "a": 2}', "the key 'a' comes more than once"),
        ('{"a": 1', 'is no json or is cut off'),
    ],
)
def test_bad_lines_of_json_are_named(file, line, message):
    path = file('{"a": NaN}\n\n' + line)
    rows = read_jsonl(path, hint='label it again')
    assert next(rows)[0] == 1
    with pytest.raises(DamagedFile, match=rf'a\.txt, line 3: {message}.*; label it again$'):
        next(rows)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(file=3), 'file: expected a text, got a whole number'),
        (dict(file=None), 'file: expected a text, got null'),
        (dict(boxes={}), 'boxes: expected a list, got an object'),
        (
            dict(boxes=[dict(bbox=[1, 'x'])]),
            r'boxes\[0\]\.bbox\[1\]: expected a number, got a text',
        ),
        (dict(boxes=[dict(bbox=[True])]), r'boxes\[0\]\.bbox\[0\]: .*, got true or false'),
        (dict(boxes=[{}]), r"boxes\[0\]: lacks the entry 'bbox'"),
    ],
)
def test_the_field_of_another_type_is_named(file, change, message):
    record = dict(file='a.png', boxes=[]) | change
    with pytest.raises(DamagedFile, match=f'^list.json: image 3: {message}; see the docs$'):
        typed(record, Image, 'list.json: image 3', 'see the docs')
    with pytest.raises(DamagedFile, match=f'^list.json: {message}'):
        read_typed_json(file(json.dumps(record)), 'list.json', Image)
    assert fast_json(file(json.dumps(record)), Image) is None


def test_typed_files(file):
    good = dict(file='a.png', boxes=[dict(bbox=[1, 2.5], more=[])])
    image = Image('a.png', [Box([1.0, 2.5])])
    path = file(json.dumps(good))
    assert read_typed_json(path, 'a', Image) == fast_json(path, Image) == image
    good['boxes'][0]['bbox'][0] = float('inf')  # what Python writes and json has not
    path = file(json.dumps(good))
    assert read_typed_json(path, 'a', Image).boxes[0].bbox[0] == float('inf')
    assert fast_json(path, Image) is fast_json(file(b''), Image) is None
    assert fast_json(file(b'[' * 200_000), list) is None
    with pytest.raises(DamagedFile, match="^a: the key 'file' comes more than once"):
        read_typed_json(file('{"file": "a", "file": "b", "boxes": []}'), 'a', Image)


def test_what_a_record_makes_its_parser_raise_names_the_field():
    record = dict(file='a.png', boxes=[dict(bbox=5)])
    with pytest.raises(DamagedFile, match=r'^row 1: boxes\[0\]\.bbox: expected a list.*; hint$'):
        with parsing_record(record, Image, 'row 1', 'hint'):
            len(record['boxes'][0]['bbox'])
    record['boxes'] = [dict(bbox=[])]  # the type is right: the parser's own word
    with pytest.raises(DamagedFile, match='^row 1: IndexError: list index out of range$'):
        with parsing_record(record, Image, 'row 1'):
            record['boxes'][0]['bbox'][0]
    with pytest.raises(DamagedFile, match='^row 1: no room$'):
        with parsing_record(dict(file=3), Image, 'row 1'):
            raise ValueError('no room')


def test_missing_files_name_the_argument(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'^classes: .*none\.txt does not exist; docs/en'):
        existing_file(tmp_path / 'none.txt', 'classes')
    with pytest.raises(FileNotFoundError, match=r'none\.txt does not exist; ask$'):
        existing_file(tmp_path / 'none.txt', 'classes', 'ask')
    for read in (read_text, read_lines, lambda path: list(read_jsonl(path))):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / 'none.txt')
