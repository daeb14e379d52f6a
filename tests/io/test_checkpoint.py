"""Checkpoints are read for their tensors: a file can neither run anything nor give half of it."""

import copyreg
import importlib
import io
import os
import pickle
import resource
import struct
import sys
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmclip.io.atomic import atomic_file
from mmclip.io.checkpoint import read_checkpoint, read_state_dict, write_state_dict
from mmclip.io.unpickle import Stub

STATE = {
    'half': torch.arange(6).reshape(2, 3).half(),
    'bfloat': torch.linspace(-1, 1, 5).bfloat16(),
    'float': torch.linspace(0, 1, 12).reshape(3, 4).t(),
    'long': torch.tensor(7),
    'bool': torch.tensor([True, False]),
    'empty': torch.empty(0, 3),
    'complex': torch.tensor([1 + 2j]).conj(),
    'float8': torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
    'uint16': torch.tensor([1, 65535]).to(torch.uint16),
    'view': torch.arange(10)[3:7],
    'parameter': nn.Parameter(torch.ones(2)),
}


def save(content, path, *, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype and actual[name].shape == value.shape, name
        assert torch.equal(actual[name], value), name


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'state_dict': s, 'epoch': 3}])
def test_reads_what_torch_saves(tmp_path, zipped, wrap):
    path = save(wrap(OrderedDict(STATE)), tmp_path / 'a.pth', zipped=zipped)
    assert_same(read_state_dict(path), STATE)


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('zipped', [True, False])
def test_reads_every_protocol_and_the_containers_around(tmp_path, protocol, zipped):
    content = {
        'list': [1, 2.5, None, True, 'ä', b'\xff', (), (1,), (1, 2), 1 << 70, -1],
        'set': {1, 2},
        'frozen': frozenset({('a', 1)}),
        'bytes': bytearray(b'abc'),
        'complex': 1 + 2j,
        'counter': Counter('aab'),
        'default': defaultdict(list, {'a': [1]}),
        'size': torch.Size([2, 3]),
        'dtype': torch.float16,
        ('key', 1): 1,
    }
    path = tmp_path / 'a.pth'
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(path) == content


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_reads_numpy_as_numbers_and_arrays(tmp_path, protocol):
    arrays = {
        'fortran': np.arange(6, dtype='f4').reshape(2, 3).T,
        'big endian': np.arange(3, dtype='>i4'),
        'words': np.array(['a', 'bcd']),
        'empty': np.zeros((0, 3)),
        'bool': np.array(True),
    }
    numbers = {'f': np.float64(2.5), 'i': np.int32(-3), 'b': np.bool_(True)}
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps({**arrays, **numbers}, protocol))
    read = read_checkpoint(path)
    for name, value in arrays.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype.newbyteorder('=')
    for name, value in numbers.items():
        assert read[name] == value and type(read[name]) is type(value)


def test_arrays_in_a_state_dict_become_tensors_and_objects_do_not(tmp_path):
    path = tmp_path / 'a.pkl'
    path.write_bytes(
        pickle.dumps({'w': np.eye(2), 'o': np.array([{}]), 'd': np.array(['2020'], 'M8[D]')})
    )
    assert_same(read_state_dict(path), {'w': torch.eye(2, dtype=torch.float64)})


def test_shared_storages_are_read_once(tmp_path):
    base = torch.arange(100.0)
    path = save({'a': base, 'b': base[10:20], 'c': base.view(10, 10).t()}, tmp_path / 'a.pth')
    read = read_state_dict(path)
    assert read['a'].data_ptr() + 40 == read['b'].data_ptr()
    assert torch.equal(read['c'], base.view(10, 10).t())


def test_safetensors(tmp_path):
    path = tmp_path / 'a.safetensors'
    state = {name: value.detach().resolve_conj() for name, value in STATE.items()}
    write_state_dict(state, path)
    read = read_state_dict(path)
    assert_same({name: read[name] for name in state}, state)
    blob = path.rename(tmp_path / '0a1b2c')  # as caches name them
    assert set(read_state_dict(blob)) == set(state)


# Classes that exist when a file is written and not when it is read.


@pytest.fixture
def foreign():
    """A module that imports leave a mark in, whose classes are gone after `remove`."""
    module = types.ModuleType('foreign_lib')

    class Config:
        def __init__(self, content):
            self._content = content

    class DictLike(dict):
        pass

    class Stateful:
        def __getstate__(self):
            return ({'a': 1}, {'slot': 2})

    class Reduced:
        def __reduce__(self):
            return Config, (1,), {'b': 2}, iter([1, 2]), iter([('k', 'v')])

    for cls in (Config, DictLike, Stateful, Reduced):
        cls.__module__, cls.__qualname__ = 'foreign_lib', cls.__name__
        setattr(module, cls.__name__, cls)
    sys.modules['foreign_lib'] = module
    yield module
    sys.modules.pop('foreign_lib', None)


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('zipped', [True, False])
def test_foreign_classes_become_stubs(tmp_path, foreign, zipped, protocol):
    callbacks = {foreign.Config: {'best': torch.tensor(0.5)}}
    content = {
        'state_dict': STATE,
        'hyper_parameters': foreign.Config({'lr': 0.1, 'nested': foreign.Config([])}),
        'callbacks': callbacks,
        'like': foreign.DictLike(a=1),
        'stateful': foreign.Stateful(),
        'reduced': foreign.Reduced(),
        'objects': np.array([foreign.Stateful()]),
        'function': os.path.join,
    }
    path = tmp_path / 'lightning.ckpt'
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    del sys.modules['foreign_lib']
    with pytest.raises(ModuleNotFoundError):  # the library is gone
        importlib.import_module('foreign_lib')
    assert_same(read_state_dict(path), STATE)
    read = read_checkpoint(path)
    config = read['hyper_parameters']
    assert isinstance(config, Stub) and config.path == 'foreign_lib.Config'
    assert config.state['_content']['lr'] == 0.1
    assert read['like'].items == [('a', 1)]
    assert read['reduced'].args == (1,) and read['reduced'].state == {'b': 2}
    assert read['reduced'].items == [1, 2, ('k', 'v')]
    assert read['function'].path.endswith('path.join')
    assert 'foreign_lib' not in sys.modules


def test_a_dict_of_a_foreign_class_is_a_state_dict(tmp_path, foreign):
    path = save({'model': foreign.DictLike(STATE)}, tmp_path / 'a.pth')
    del sys.modules['foreign_lib']
    assert_same(read_state_dict(path), STATE)


# Module trees.


class Net(nn.Module):
    """Parameters, buffers, shared parts, plain attributes; OpenAI's integers as buffer and int."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 4))
        self.again = self.layers[2]
        self.scale = nn.Parameter(torch.ones([]))
        self.register_buffer('context_length', torch.tensor(77))
        self.register_buffer('table', torch.rand(3).half())
        self.attn_mask = torch.rand(2, 2)
        self.input_resolution, self.vocab_size = 224, 9

    def forward(self, x):
        x = self.again(self.layers[1](self.layers[0](x)).mean((2, 3)))
        x = x + self.scale + self.attn_mask.sum() + self.table.sum()
        return x * self.vocab_size + self.input_resolution + self.context_length


@pytest.fixture(params=['script', 'trace'])
def archive(request, tmp_path):
    torch.manual_seed(0)
    net = Net().eval()
    script = request.param == 'script'
    made = torch.jit.script(net) if script else torch.jit.trace(net, torch.rand(1, 3, 2, 2))
    torch.jit.save(made, tmp_path / 'net.pt')
    return tmp_path / 'net.pt', script


def test_a_torchscript_archive_gives_its_state_dict(archive):
    path, script = archive
    expected = torch.jit.load(path).state_dict()
    read = read_state_dict(path)
    # An int attribute survives scripting; OpenAI's archives have all three in their state dict.
    extra = {'input_resolution': 224, 'vocab_size': 9} if script else {}
    assert set(read) == set(expected) | set(extra)
    assert all(torch.equal(read[name], value) for name, value in expected.items())
    assert all(int(read[name]) == value for name, value in extra.items())


def test_an_archive_without_code_gives_all_tensors(archive, tmp_path):
    path, _ = archive
    stripped = tmp_path / 'stripped.pt'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stripped, 'w') as new:
        for info in old.infolist():
            if '/code/' not in info.filename:
                new.writestr(info.filename, old.read(info))
    assert set(read_state_dict(stripped)) >= set(torch.jit.load(path).state_dict())


def test_a_pickled_module_gives_its_state_dict(tmp_path):
    net = Net()
    net.register_buffer('scratch', torch.ones(1), persistent=False)
    path = save({'epoch': 1, 'model': net}, tmp_path / 'a.pth')
    assert_same(read_state_dict(path), net.state_dict())


def test_openai_integers_are_recognized(archive):
    from mmclip.clip.layouts import is_openai

    path, script = archive
    assert is_openai(read_state_dict(path)) == script


# What is not read says so.


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    'special',
    [
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_csr(),
        torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8),
        torch.ones(2, device='meta'),
    ],
    ids=['sparse', 'csr', 'quantized', 'meta'],
)
def test_special_tensors_are_an_error_not_a_gap(tmp_path, special, zipped):
    path = save({'good': torch.ones(2), 'special': special}, tmp_path / 'a.pth', zipped=zipped)
    with pytest.raises(ValueError, match='special|quantized'):
        read_state_dict(path)


def test_big_endian_is_an_error(tmp_path):
    path = save(STATE, tmp_path / 'a.pth')
    other = tmp_path / 'b.pth'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, 'w') as new:
        for info in old.infolist():
            data = b'big' if info.filename.endswith('byteorder') else old.read(info)
            new.writestr(info.filename, data)
    with pytest.raises(ValueError, match='big-endian'):
        read_checkpoint(other)


def test_missing_and_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        read_state_dict(tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path)
    (tmp_path / 'empty.pth').write_bytes(b'')
    with pytest.raises(ValueError, match='empty.pth'):
        read_state_dict(tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='no named tensors'):
        read_state_dict(save({'epoch': 1}, tmp_path / 'a.pth'))


def formats(folder):
    zipped = save(STATE, folder / 'zip.pth')
    legacy = save(STATE, folder / 'legacy.pth', zipped=False)
    write_state_dict({'a': torch.rand(40)}, folder / 'a.safetensors')
    (folder / 'plain.pkl').write_bytes(pickle.dumps({'a': np.ones(40)}))
    torch.jit.save(torch.jit.script(nn.Linear(3, 3)), folder / 'script.pt')
    return [zipped, legacy, folder / 'a.safetensors', folder / 'plain.pkl', folder / 'script.pt']


@pytest.mark.parametrize('index', range(5), ids=['zip', 'legacy', 'safetensors', 'plain', 'script'])
def test_a_file_cut_off_anywhere_is_an_error(tmp_path, index):
    path = formats(tmp_path)[index]
    data = path.read_bytes()
    cut = path.with_name(f'cut{path.suffix}')
    for length in sorted(
        {*range(0, 64), *range(0, len(data), 37), *range(len(data) - 64, len(data))}
    ):
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError, match=cut.name):
            read_state_dict(cut)


@pytest.mark.parametrize('index', range(5), ids=['zip', 'legacy', 'safetensors', 'plain', 'script'])
def test_a_damaged_byte_is_an_error_or_read_around(tmp_path, index):
    path = formats(tmp_path)[index]
    data = path.read_bytes()
    bad = path.with_name(f'bad{path.suffix}')
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[position] ^= 1 << generator.integers(8)
        bad.write_bytes(damaged)
        try:
            read_state_dict(bad)
        except ValueError as error:
            assert bad.name in str(error)


# Attacks. Each is a pickle that does harm, or a bomb, under `pickle.load`.


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args, state=None):
        self.function, self.args, self.state = function, args, state

    def __reduce__(self):
        return (self.function, self.args, self.state) if self.state else (self.function, self.args)


def touch(path) -> str:
    return f'touch {path}'


def harmful(mark):
    command = touch(mark)
    text = str(mark).encode()
    yield 'os.system', pickle.dumps(Call(os.system, command))
    yield 'eval', pickle.dumps(Call(eval, f'open({str(mark)!r}, "w")'))
    yield 'exec', pickle.dumps(Call(exec, f'open({str(mark)!r}, "w")'))
    system = b'cbuiltins\ngetattr\n(cbuiltins\ngetattr\n(cos\npath\nVos\ntRVsystem\ntR'
    yield 'getattr', system + b'(V' + command.encode() + b'\ntR.'
    yield 'inst', b'(V' + command.encode() + b'\nios\nsystem\n.'
    yield 'obj', b'(cos\nsystem\nV' + command.encode() + b'\no.'
    yield 'newobj', b'\x80\x02cbuiltins\nopen\nV' + text + b'\nVw\n\x86\x81.'
    yield 'newobj_ex', b'\x80\x04cbuiltins\nopen\nV' + text + b'\nVw\n\x86}\x92.'
    yield 'dotted', b'\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93.'
    yield (
        'dotted call',
        (
            b'\x80\x04\x8c\x05torch\x8c\x17serialization.os.system\x93(\x8c'
            + bytes([len(command)])
            + command.encode()
            + b'tR.'
        ),
    )
    yield 'dtype by another name', b'\x80\x04\x8c\x05torch\x8c\x06system\x93)R.'
    yield 'builder state', b'ccollections\nOrderedDict\n}V__call__\ncos\nsystem\nsb.'
    yield 'class slots', b'ccollections\nOrderedDict\n(N}V__init__\ncos\nsystem\nstb.'
    yield 'dict attribute', (b'ccollections\nOrderedDict\n)R}Vitems\ncos\nsystem\nsb.')
    yield 'extension', b'\x80\x02\x82\xf0)R.'
    yield 'persistent', b'\x80\x02Vos.system\nQ.'
    yield 'persistent text', b'Pos.system\n.'
    yield 'call of a value', b'\x80\x02K\x05)R.'
    yield 'call of a dict', b'\x80\x02})R.'
    yield 'numpy loads', b'cnumpy\nload\n(V' + text + b'\ntR.'
    yield 'numpy ndarray', b'cnumpy\nndarray\n(K\x04VO8\ntR.'
    yield 'torch load', b'ctorch\nload\n(V' + text + b'\ntR.'


def bombs():
    huge = struct.pack('<Q', 10**13)
    number = b'\x8a\x08' + struct.pack('<q', 10**13)
    for name in (b'bytes', b'bytearray', b'list', b'int', b'str', b'range'):
        yield name.decode(), b'\x80\x02cbuiltins\n' + name + b'\n' + number + b'\x85R.'
    yield 'bytearray8', b'\x80\x05\x96' + huge + b'x.'
    yield 'binbytes8', b'\x80\x04\x8e' + huge + b'x.'
    yield 'unicode8', b'\x80\x04\x8d' + huge + b'x.'
    yield 'frame', b'\x80\x04\x95' + huge + b'N.'
    yield 'long4', b'\x80\x02\x8b\xff\xff\xff\x7fx.'
    yield 'memo index', b'\x80\x02Nr\xff\xff\xff\xff.'
    shape = b'cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR'
    float64 = b'cnumpy\ndtype\n(Vf8\ntR'
    yield (
        'array shape',
        b'\x80\x03' + shape + b'(K\x01' + number + b'\x85' + float64 + b'\x89C\x00tb.',
    )
    objects = b'cnumpy\ndtype\n(VO8\ntR'
    yield 'object array', b'\x80\x03' + shape + b'(K\x01' + number + b'\x85' + objects + b'\x89]tb.'
    record = b'cnumpy\ndtype\n(V(100000,100000)f8\ntR'
    yield 'record dtype', b'\x80\x03' + shape + b'(K\x01K\x01\x85' + record + b'\x89C\x00tb.'
    yield 'scalar', b'\x80\x03cnumpy._core.multiarray\nscalar\n' + objects + b'C\x08abcdefgh\x86R.'
    # A tuple in a tuple in a tuple: hashing it overflows the stack of the interpreter.
    yield 'deep key', b'\x80\x02}N' + b'\x85' * 300_000 + b'Ns.'
    yield 'deep element', b'\x80\x04\x8fN(' + b'\x85' * 300_000 + b'\x90.'
    yield 'deep list', b'\x80\x02' + b']' * 10**5 + b'a' * (10**5 - 1) + b'.'
    # The same list copied again and again.
    copies = b'ctorch\nSize\nh\x00\x85R0' * 20000
    yield 'copies', b'\x80\x02]q\x00(' + b'N' * 20000 + b'e' + copies + b'.'


@pytest.mark.parametrize(
    'name', ['os.system', 'eval', 'exec', 'getattr', 'inst', 'obj', 'dotted call']
)
def test_the_attacks_are_attacks(tmp_path, name):
    """Python's own unpickler falls for them, so that the tests below test something."""
    pickle.loads(dict(harmful(tmp_path / 'mark'))[name])
    assert (tmp_path / 'mark').exists()


def in_every_file(data, folder):
    """The pickle as a file of its own, in a torch zip, and in a legacy torch file."""
    (folder / 'plain.pkl').write_bytes(data)
    yield folder / 'plain.pkl'
    with zipfile.ZipFile(folder / 'zip.pth', 'w') as archive:
        archive.writestr('archive/data.pkl', data)
        archive.writestr('archive/version', '3\n')
    yield folder / 'zip.pth'
    stream = io.BytesIO()
    torch.save(0, stream, _use_new_zipfile_serialization=False)
    head = stream.getvalue()
    cut = head.rindex(b'\x80\x02K\x00.')
    (folder / 'legacy.pth').write_bytes(head[:cut] + data + pickle.dumps([], 2))
    yield folder / 'legacy.pth'


@pytest.mark.parametrize('name', [name for name, _ in harmful('mark')])
def test_nothing_of_the_file_is_imported_or_called(tmp_path, name, monkeypatch):
    mark = tmp_path / 'mark'
    data = dict(harmful(mark))[name]
    copyreg.add_extension('os', 'system', 0xF0)
    monkeypatch.setitem(copyreg._extension_cache, 0xF0, os.system)
    before = set(sys.modules)
    try:
        for path in in_every_file(data, tmp_path):
            with pytest.raises(ValueError, match=path.name):
                read_state_dict(path)
    finally:
        copyreg.remove_extension('os', 'system', 0xF0)
    assert not mark.exists()
    assert set(sys.modules) == before


@pytest.mark.parametrize('name', [name for name, _ in bombs()])
def test_bombs_do_not_go_off(tmp_path, name):
    data = dict(bombs())[name]
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    # Whoever asks for half a gigabyte more gets a MemoryError, which is no ValueError.
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, limits[1]))
    try:
        for path in in_every_file(data, tmp_path):
            with pytest.raises(ValueError, match=path.name):
                read_state_dict(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def tensor_pickle(*, offset=0, size=(2,), stride=(1,), numel=4, key='0', kind='FloatStorage'):
    """A torch pickle of one tensor, with any numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ('storage', getattr(torch, kind), key, 'cpu', numel) if value == 'ID' else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump(
        {'a': Call(torch._utils._rebuild_tensor_v2, 'ID', offset, size, stride, False, {})}
    )
    return stream.getvalue()


def torch_zip(path, data, storage=bytes(16), **entries):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', data)
        archive.writestr('archive/data/0', storage)
        for name, content in entries.items():
            archive.writestr(f'archive/{name}', content)
    return path


@pytest.mark.parametrize(
    'numbers',
    [
        dict(size=(5,)),
        dict(offset=3),
        dict(offset=-1),
        dict(size=(-2,)),
        dict(size=(2,), stride=(-1,), offset=2),
        dict(size=(2, 2), stride=(1,)),
        dict(size=(2**61, 2**61), stride=(0, 0)),
        dict(size=(10**12,), stride=(0,)),
        dict(size=(2.0,)),
        dict(numel=5),
        dict(numel=10**13, size=(10**13,)),
        dict(numel=-1),
        dict(key='../version'),
        dict(key='1'),
        dict(kind='float32'),
        dict(kind='Tensor'),
    ],
    ids=str,
)
def test_tensors_stay_in_their_storage(tmp_path, numbers):
    assert read_state_dict(torch_zip(tmp_path / 'a.pth', tensor_pickle()))['a'].tolist() == [0, 0]
    if numbers == dict(kind='float32'):  # a dtype is how we spell a kind of storage, no harm
        return
    path = torch_zip(tmp_path / 'b.pth', tensor_pickle(**numbers))
    with pytest.raises(ValueError, match='b.pth'):
        read_state_dict(path)


def test_expanded_tensors_are_read(tmp_path):
    state = {'mask': torch.arange(4.0).expand(3, 4), 'scalar': torch.ones(1).expand(5)}
    assert_same(read_state_dict(save(state, tmp_path / 'a.pth')), state)


def test_compressed_storages_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', tensor_pickle(numel=10**8, size=(10**8,)))
        archive.writestr('archive/data/0', bytes(4 * 10**8))
    with pytest.raises(ValueError, match='a.pth'):
        read_state_dict(tmp_path / 'a.pth')


@pytest.mark.parametrize('kind', ['qint8', 'quint4x2', 'bits8', 'uint1', 'QInt8Storage'])
def test_kinds_of_numbers_that_are_not_read_are_named(tmp_path, kind):
    path = torch_zip(tmp_path / 'a.pth', tensor_pickle(kind=kind))
    with pytest.raises(ValueError, match=rf"a\.pth: 'a' is a .*quantized.*{kind}"):
        read_state_dict(path)


def test_a_module_tree_in_circles_is_an_error(tmp_path):
    circle = b'\x80\x02c__torch__\nA\n)\x81q\x00}(Vself\nh\x00Vother\nc__torch__\nB\n)\x81ub.'
    with pytest.raises(ValueError, match='levels'):
        read_state_dict(torch_zip(tmp_path / 'a.pt', circle))


# Writing.


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_writes_views_and_shared_tensors_as_their_own(tmp_path, suffix):
    base = torch.arange(1000.0)
    path = tmp_path / 'new' / f'a{suffix}'
    write_state_dict({'a': base[:3], 'b': base[:3], 'c': base.view(10, 100)[:, 0]}, path)
    read = read_state_dict(path)
    assert read['a'].tolist() == read['b'].tolist() == [0, 1, 2]
    assert read['c'].tolist() == list(range(0, 1000, 100))
    assert path.stat().st_size < 3000
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.pth'
    write_state_dict({'a': torch.ones(1)}, path)
    with pytest.raises(RuntimeError, match='power'), atomic_file(path) as partial:
        partial.write_bytes(b'half')
        raise RuntimeError('power cut')
    assert read_state_dict(path)['a'].item() == 1
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_are_synced_before_they_get_their_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda fd: (order.append('sync'), fsync(fd)))
    monkeypatch.setattr(os, 'replace', lambda a, b: (order.append('rename'), replace(a, b)))
    write_state_dict({'a': torch.ones(1)}, tmp_path / 'a.pth')
    assert order == ['sync', 'rename', 'sync']


@pytest.mark.parametrize('name', ['w.safetensors', 'w.pth'])
def test_others_may_read_what_is_written(name, tmp_path):
    write_state_dict({'a': torch.ones(1)}, tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
