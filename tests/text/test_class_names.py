"""Class names out of files: one reader for all of them."""

import pytest

from mmclip.text.class_names import class_names, names_of_file, read_class_names


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.txt', '\ufeffred car\r\n\r\n  dog\r\n'),
        ('a.words', 'red car\ndog'),
        ('a.json', '["red car", "dog"]'),
        ('a.json', '{"names": ["red car", "dog"], "novel": []}'),
        ('a.csv', 'id,name\n0,red car\n1, dog\n'),
        ('a.csv', 'name,id,more\nred car,0,\n"dog",1,x\n'),
    ],
)
def test_files_of_names(file, tmp_path, name, content):
    assert names_of_file(file(name, content)) == ('red car', 'dog')
    if not name.endswith('.words'):
        assert read_class_names(name, tmp_path) == ('red car', 'dog')
        assert read_class_names(str(tmp_path / name)) == ('red car', 'dog')


def test_what_is_no_file_is_a_vocabulary_or_a_list():
    assert read_class_names('voc20') == class_names('voc20')
    assert read_class_names(['a.txt', 'b'], 'anywhere') == ('a.txt', 'b')
    with pytest.raises(ValueError, match="unknown vocabulary 'words'"):
        read_class_names('words')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.txt', '', 'at least one class name'),
        ('a.txt', 'cat\ndog\ncat\n', "more than once: 'cat'"),
        ('a.txt', 'caf\xe9'.encode('latin-1'), 'is no UTF-8 text but perhaps ISO-8859-1'),
        ('a.txt', 'cat'.encode('utf-16'), 'is UTF-16 text'),
        ('a.json', '{"names": {"0": "cat"}}', 'names: expected a list of texts, got an object'),
        ('a.json', '{"names": ["a"], "names": ["b"]}', "the key 'names' comes more than once"),
        ('a.csv', 'id;name\n0;cat\n', 'its fields are between semicolons'),
        ('a.csv', 'id,name\n', "no row below the head 'id,name'"),
        ('a.csv', 'id,name\n0,cat\n2,dog\n', "line 3: the id is '2', not 1"),
        ('a.csv', 'id,name\n0,\n', 'line 2: its name is empty'),
        ('a.csv', 'id,name\n0,tie, bow\n', 'line 2 has 3 fields'),
    ],
)
def test_bad_files_are_named(file, name, content, message):
    with pytest.raises(ValueError, match=rf'^--names-file: .*{name}.*{message}'):
        names_of_file(file(name, content), '--names-file')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'^classes: .*none\.csv does not exist'):
        read_class_names('none.csv', tmp_path)
