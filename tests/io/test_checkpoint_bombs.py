"""What a checkpoint can make the process allocate or compute is bounded by the size of the file.

All files are read in one process that may have 256 MB more than at its start; its alarm is
only there so that a fault ends.
"""

import io
import json
import pickle
import resource
import signal
import struct
import tempfile
import zipfile
from pathlib import Path

import forked
import numpy as np
import pytest
import torch

from mmclip.engine import find_checkpoint
from mmclip.io import checkpoint
from mmclip.io.torch_archive import Archive

UNFOLDS = 'it unfolds into far more than its own size'
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
LIMIT = 2**28


def number(value):
    data = pickle.encode_long(value)
    return b'\x8a' + bytes([len(data)]) + data


def zipped(path, entries, compress=STORED):
    with zipfile.ZipFile(path, 'w', compress) as archive:
        for name, data in entries.items():
            archive.writestr(f'archive/{name}', data)


def torch_file(path, data):
    zipped(path, {'data.pkl': data, 'data/0': bytes(16)})


def plain(data):
    return lambda path: path.write_bytes(data)


def in_zip(data):
    return lambda path: torch_file(path, data)


def tuple_key(seed=b'N'):
    """A tuple of 63 times a tuple of 63 times … by reference: its text is 60 million characters."""
    row = seed
    for level in range(4):
        index = bytes([level])
        row = row + b'q' + index + b'0(' + (b'h' + index) * 63 + b't'
    return row


def put(index):
    return b'q' + bytes([index])


def graph(depth, state=b'}'):
    """Each module has the next one twice: 2^depth ways through."""
    data = b'c__torch__\nM\n)\x81' + state + b'b' + put(0)
    for level in range(depth):
        again = b'h' + bytes([level])
        data = b'c__torch__\nM\n)\x81}(Va\n' + data + b'Vb\n' + again + b'ub' + put(level + 1)
    return b'\x80\x02' + data + b'.'


def tensor(size, stride, key='0'):
    storage = b'(Vstorage\nctorch\nFloatStorage\nV%s\nVcpu\nK\x04tQ' % key.encode()
    head = b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + b'K\x00'
    return head + size + stride + b'\x89}tR'


def named(tensors):
    items = b''.join(b'Vt%d\n' % i + data for i, data in enumerate(tensors))
    return b'\x80\x02}(' + items + b'u.'


def ones(count):
    return b'(' + b'K\x01' * count + b't'


def array_of_many_dimensions():
    new = b'cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR'
    dtype = b'cnumpy\ndtype\nVc8\n\x85R'
    return b'\x80\x02' + new + b'(K\x01' + ones(100_000) + dtype + b'\x89U\x08' + bytes(8) + b'tb.'


def overlapping(path, count=60):
    """A zip whose entries are stored, each with the next one inside, so that checks agree."""
    body, directory = bytes(10 * 2**20), []
    names = ['archive/version', *(f'archive/data/{i}' for i in range(count))]
    for name in names:
        crc = zipfile.crc32(body)
        fields = struct.pack('<5H3L', 20, 0, 0, 0, 33, crc, len(body), len(body))
        header = b'PK\3\4' + fields + struct.pack('<2H', len(name), 0) + name.encode()
        body = header + body
        directory.append((name, fields, len(body)))
    data = named([tensor(ones(1), ones(1), str(i)) for i in range(count)])
    name = 'archive/data.pkl'
    fields = struct.pack('<5H3L', 20, 0, 0, 0, 33, zipfile.crc32(data), len(data), len(data))
    front = b'PK\3\4' + fields + struct.pack('<2H', len(name), 0) + name.encode() + data
    total = len(front) + len(body)
    rows = [(name, fields, 0), *((n, f, total - length) for n, f, length in directory[::-1])]
    entries = b''.join(
        b'PK\1\2'
        + struct.pack('<H', 20)
        + f
        + struct.pack('<5H2L', len(n), 0, 0, 0, 0, 0, where)
        + n.encode()
        for n, f, where in rows
    )
    numbers = (0, 0, len(rows), len(rows), len(entries), total, 0)
    path.write_bytes(front + body + entries + b'PK\5\6' + struct.pack('<4H2LH', *numbers))


def compressed_code(path):
    code = b'class M(Module):\n  __parameters__ = []\n' * 200_000
    entries = {f'code/__torch__/m{i}.py': code for i in range(20)}
    modules = b''.join(b'Va%d\nc__torch__.m%d\nM\n)\x81}b' % (i, i) for i in range(20))
    pickled = b'\x80\x02c__torch__\nM\n)\x81}(' + modules + b'ub.'
    zipped(path, entries, DEFLATED)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('archive/data.pkl', pickled)


def compressed(path):
    zipped(path, {'data.pkl': b'\x80\x02]' + bytes([0x8F]) * 10**7 + b'.'}, DEFLATED)


def one_hash():
    prime = 2**61 - 1
    return b'\x80\x02}(' + b''.join(number(i * prime) + b'N' for i in range(1, 9_000)) + b'u.'


def legacy(data):
    def write(path):
        stream = io.BytesIO()
        torch.save(0, stream, _use_new_zipfile_serialization=False)
        head = stream.getvalue()
        cut = head.rindex(b'\x80\x02K\x00.')
        path.write_bytes(head[:cut] + data + pickle.dumps([], 2))

    return write


SETS = b'\x80\x04' + b'\x8f' * 5 * 2**18 + b'.'
W = b'}Vw\n' + tensor(ones(1), ones(1)) + b's'
KEYS = b'}' + tuple_key() + b'Ns'

# name: (writer, part of the message)
BOMBS = {
    'compressed pickle': (compressed, 'compressed, which torch never does'),
    'empty sets': (plain(SETS), UNFOLDS),
    'empty sets in a zip': (in_zip(SETS[: 2**17]), UNFOLDS),
    'empty sets in an older file': (legacy(SETS[: 2**17]), UNFOLDS),
    'empty dicts': (plain(b'\x80\x02' + b'}' * 2**17 + b'.'), UNFOLDS),
    'marks': (plain(b'\x80\x02' + b'(' * 2**17 + b'.'), UNFOLDS),
    'memo': (plain(b'\x80\x04N' + b'\x94' * 2**17 + b'.'), UNFOLDS),
    'tuples': (plain(b'\x80\x02N' + b'\x85' * 2**17 + b'.'), UNFOLDS),
    'ordered dicts': (
        plain(b'\x80\x02ccollections\nOrderedDict\nq\x000' + b'h\x00)R' * 2**15 + b'.'),
        UNFOLDS,
    ),
    'stubs': (plain(b'\x80\x02ca\nb\nq\x000' + b'h\x00)R' * 2**15 + b'.'), UNFOLDS),
    'names': (
        plain(b'\x80\x04V' + b'a' * 2**20 + b'\nq\x000' + b'h\x00h\x00\x93' * 2**10 + b'.'),
        UNFOLDS,
    ),
    'numbers of text': (
        plain(
            b'\x80\x04cnumpy._core.multiarray\nscalar\nq\x000cnumpy\ndtype\nVS9999\n\x85Rq\x010V'
            + b'a' * 9999
            + b'\nq\x020'
            + b'h\x00h\x01h\x02\x86R' * 2**17
            + b'.'
        ),
        UNFOLDS,
    ),
    'nested key': (plain(b'\x80\x02' + KEYS + b'.'), UNFOLDS),
    'nested keys': (
        plain(b'\x80\x02' + KEYS + b''.join(b'h\x03\x85Ns' for _ in range(1000)) + b'.'),
        UNFOLDS,
    ),
    'nested element': (plain(b'\x80\x04\x8f(' + tuple_key() + b'\x90.'), UNFOLDS),
    'nested storage key': (
        legacy(b'\x80\x02N.' + b'\x80\x02](' + tuple_key() + b'e.'),
        'a storage of a kind that is not read',
    ),
    'numbers of one hash': (plain(one_hash()), UNFOLDS),
    'floats of one hash': (
        plain(
            b'\x80\x02}('
            + b''.join(
                b'G' + struct.pack('>d', 2.0 ** (61 * i) * k) + b'N'
                for i in range(16)
                for k in range(1, 4000, 2)
            )
            + b'u.'
        ),
        UNFOLDS,
    ),
    'modules': (in_zip(graph(90)), UNFOLDS),
    'module with many names': (in_zip(graph(20, W)), UNFOLDS),
    'overlapping entries': (overlapping, 'reaches into the next one'),
    'repeated tensors': (
        in_zip(named([tensor(b'J\0\0\0\x04\x85', b'K\0\x85')] * 40)),
        UNFOLDS,
    ),
    'many dimensions': (in_zip(named([tensor(ones(100_000), ones(100_000))])), 'damaged shape'),
    'array of many dimensions': (plain(array_of_many_dimensions()), 'a damaged array'),
    'code': (compressed_code, 'its code unfolds into far more than its own size'),
}


# All readers have these run by the same machine, and they take a moment each.
ONE_READER = set(
    'empty sets,empty sets in a zip,empty dicts,marks,memo,tuples,ordered dicts,stubs,'
    'numbers of one hash,floats of one hash,array of many dimensions'.split(',')
)


def read_all(folder):
    """What each reader says of each bomb."""
    readers = {
        'read_state_dict': checkpoint.read_state_dict,
        'damage': find_checkpoint.damage,
        'mmengine': checkpoint.read_training_checkpoint,
    }
    answers = {}
    signal.alarm(300)
    for name, (write, _) in BOMBS.items():
        path = folder / 'bomb.pth'
        write(path)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, resource.RLIM_INFINITY))
        for reader, read in readers.items():
            if reader != 'read_state_dict' and name in ONE_READER:
                continue
            try:
                answers[f'{name}/{reader}'] = str(read(path))
            except Exception as error:
                answers[f'{name}/{reader}'] = f'{type(error).__name__}: {error}'
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    return answers


@pytest.fixture(scope='module')
def answers():
    run = forked.run(__file__)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', BOMBS)
def test_a_bomb_is_refused_by_name(answers, name):
    for reader in ['read_state_dict'] if name in ONE_READER else ['read_state_dict', 'mmengine']:
        answer = answers[f'{name}/{reader}']
        assert answer.startswith('ValueError: ') and 'bomb.pth' in answer
        assert BOMBS[name][1] in answer


@pytest.mark.parametrize('name', [name for name in BOMBS if name not in ONE_READER])
def test_what_is_wrong_is_found_before_a_run(answers, name):
    assert 'bomb.pth' in answers[f'{name}/damage'] and BOMBS[name][1] in answers[f'{name}/damage']


def test_code_is_read_once_whatever_names_lead_to_it(tmp_path):
    code = 'class M(Module):\n  __parameters__ = ["w", ]\n  __buffers__ = []\n'
    zipped(tmp_path / 'file', {'data.pkl': b'N.', 'code/__torch__/a.py': code.encode()})
    archive = Archive(tmp_path / 'file')
    names = archive.state_names('__torch__.a.M')
    assert names == {'w'}
    assert archive.state_names('__torch__/a.M') is names


def test_honest_files_are_as_dense_as_that(tmp_path):
    """Small tensors, short words and small containers stay within the account."""
    base = torch.arange(4_000.0)
    contents = {
        'views': {str(i): base[i] for i in range(4_000)},
        'tensors': {str(i): torch.tensor(i) for i in range(1_000)},
        'words': {'words': [chr(97 + i % 26) + chr(97 + i % 25) for i in range(30_000)]},
        'boxes': {'boxes': [[i, (i, 2), {'a': i}] for i in range(8_000)]},
        'numbers': {i: np.float32(i) for i in range(4_000)},
        'optimizer': {'state': {i: {'step': torch.tensor(1.0), 'm': base[:5]} for i in range(500)}},
        'set': {'set': set(range(10_000)), 'names': {f'n{i}' for i in range(10_000)}},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
        read = checkpoint.read_checkpoint(tmp_path / name)
        assert len(read) == len(content), name


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(read_all(Path(place))))
