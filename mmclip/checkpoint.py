"""Reads any checkpoint file without executing what it holds.

A pickle is a small program: it names functions and calls them. :class:`TensorUnpickler` answers a
short list of names (tensors, arrays, containers) with builders of its own and every other name with an
inert stub that records what it was given. Nothing of the file is imported or called, so checkpoints
that hold omegaconf nodes, Lightning callbacks or worse are read for their tensors alone.
"""

import builtins
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
    'UntypedStorage': torch.uint8,
}
_CONTAINERS = ('dict', 'list', 'tuple', 'set', 'frozenset', 'int', 'float', 'bool', 'str', 'bytes')
_CONTAINERS += ('bytearray', 'complex', 'slice')
# Containers around a state dict, in the order in which they are unwrapped.
_WRAPPERS = ('state_dict', 'model_state_dict', 'model', 'module', 'params')


class Stub:
    """Stands for an object of a class that is not built: keeps what the pickle gave it.

    Attributes:
        path: Module and name of the class, e.g. ``'omegaconf.dictconfig.DictConfig'``.
        args: Positional arguments.
        state: What ``__setstate__`` got, or None.
        items: What was appended or set by key.
    """

    path = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Stub':
        self = object.__new__(cls)
        self.__dict__.update(args=args, state=None, items=[])
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> 'Stub':
        return _stub_class(f'{self.path}()')(*args)

    def __setstate__(self, state: Any) -> None:
        self.__dict__['state'] = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        self.items.append(value)

    def extend(self, values: Any) -> None:
        self.items.extend(values)

    def add(self, value: Any) -> None:
        self.items.append(value)

    def __repr__(self) -> str:
        return f'<stub of {self.path}>'

    def __hash__(self) -> int:
        return id(self)


def _stub_class(path: str) -> type[Stub]:
    return type('Stub', (Stub,), {'path': path})


class _Builder:
    """A function that a pickle may call and cannot change."""

    __slots__ = ('_function',)

    def __init__(self, function: Callable) -> None:
        object.__setattr__(self, '_function', function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError('a pickle tried to change a builder')

    __setstate__ = None


def _tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any):
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _typed_tensor(storage, offset, size, stride, grad, hooks, dtype, *_: Any) -> torch.Tensor:
    """``_rebuild_tensor_v3``: the storage is untyped bytes."""
    return torch.as_strided(storage.view(dtype), tuple(size), tuple(stride), offset)


def _numpy_scalar(dtype: np.dtype, data: Any) -> Any:
    if isinstance(data, str):
        data = data.encode('latin1')
    return np.frombuffer(data, dtype)[0]


def _numpy_array(subtype: Any, shape: tuple, kind: Any) -> np.ndarray:
    return np.ndarray(shape, dtype=kind)


def _known(module: str, name: str) -> Any:
    """The builder for a name, or None if it is to be a stub."""
    if module == 'collections' and name == 'OrderedDict':
        return OrderedDict
    if module in ('builtins', '__builtin__') and name in _CONTAINERS:
        return getattr(builtins, name)
    if module in ('torch', 'torch.storage', 'torch.cuda') and name in _STORAGES:
        return _STORAGES[name]
    if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    if module == 'torch' and name == 'Size':
        return _Builder(tuple)
    if module == 'torch._utils':
        functions = {
            '_rebuild_tensor': _tensor,
            '_rebuild_tensor_v2': _tensor,
            '_rebuild_tensor_v3': _typed_tensor,
            '_rebuild_parameter': lambda data, *_: data,
            '_rebuild_parameter_with_state': lambda data, *_: data,
        }
        return _Builder(functions[name]) if name in functions else None
    if module in ('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy._core.numeric'):
        functions = {'scalar': _numpy_scalar, '_reconstruct': _numpy_array}
        return _Builder(functions[name]) if name in functions else None
    if module == 'numpy' and name == 'ndarray':
        return np.ndarray
    if module == 'numpy' and name == 'dtype':
        return _Builder(lambda kind, *_: np.dtype(kind))
    if module == '_codecs' and name == 'encode':
        return _Builder(lambda text, encoding='latin1': text.encode('latin1'))
    return None


class TensorUnpickler(pickle.Unpickler):
    """Builds tensors, arrays and containers; everything else becomes a :class:`Stub`.

    Args:
        stream: The pickle.
        load_storage: Called with (dtype, key, number of elements), returns a 1-D tensor.
    """

    def __init__(
        self,
        stream: BinaryIO,
        load_storage: Callable[[torch.dtype, str, int], torch.Tensor] | None = None,
    ) -> None:
        super().__init__(stream, encoding='latin1')
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        known = _known(module, name)
        return _stub_class(f'{module}.{name}') if known is None else known

    def persistent_load(self, pid: Any) -> Any:
        if self._load_storage is None or not isinstance(pid, tuple) or pid[0] != 'storage':
            raise pickle.UnpicklingError(f'unknown persistent id {pid!r}')
        dtype, key, numel = pid[1], pid[2], pid[4]
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f'unknown kind of storage {dtype!r}')
        storage = self._load_storage(dtype, str(key), int(numel))
        if len(pid) > 5 and pid[5] is not None:  # legacy: a view into another storage
            _, offset, size = pid[5]
            storage = storage[offset : offset + size]
        return storage


def _from_bytes(data: bytes, dtype: torch.dtype) -> torch.Tensor:
    if not data:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith('/data.pkl')]
        if not pickles:
            raise ValueError('a zip archive without data.pkl')
        root = pickles[0].removesuffix('/data.pkl')
        loaded: dict[str, torch.Tensor] = {}

        def load_storage(dtype: torch.dtype, key: str, numel: int) -> torch.Tensor:
            if key not in loaded:
                loaded[key] = _from_bytes(archive.read(f'{root}/data/{key}'), torch.uint8)
            return loaded[key].view(dtype)

        with archive.open(pickles[0]) as stream:
            return TensorUnpickler(stream, load_storage).load()


def _read_legacy(path: Path) -> Any:
    """Files of torch < 1.6: three header pickles, the object, the storage keys, the raw storages."""
    with path.open('rb') as stream:
        first = TensorUnpickler(stream).load()
        if first != _LEGACY_MAGIC:
            if stream.read(1):
                raise ValueError('neither a torch file nor a single pickle')
            return first
        for _ in range(2):  # protocol version and system information
            TensorUnpickler(stream).load()
        storages: dict[str, torch.Tensor] = {}

        def load_storage(dtype: torch.dtype, key: str, numel: int) -> torch.Tensor:
            return storages.setdefault(key, torch.empty(numel, dtype=dtype))

        result = TensorUnpickler(stream, load_storage).load()
        for key in TensorUnpickler(stream).load():
            storage = storages[str(key)]
            numel = int(np.frombuffer(stream.read(8), '<i8')[0])
            data = stream.read(numel * storage.element_size())
            if numel != storage.numel() or len(data) != numel * storage.element_size():
                raise EOFError('a storage is cut off')
            storage.copy_(_from_bytes(data, storage.dtype))
        return result


def read_checkpoint(path: str | os.PathLike) -> Any:
    """What a checkpoint file holds: tensors and containers, stubs for the rest.

    Reads safetensors, torch files (zip and legacy), plain pickles and TorchScript archives, whose
    module tree comes as stubs (see :func:`read_state_dict`). Tensors are on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is cut off, damaged or not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        if path.suffix == '.safetensors':
            return safetensors.torch.load_file(path)
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged file makes the parsers raise
        raise ValueError(
            f'{path} is cut off, damaged or not a checkpoint ({type(error).__name__}: {error})'
        ) from error


def _flatten(node: Any, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of a TorchScript module tree under their state-dict names, own ones first."""
    state = node.state if isinstance(node, Stub) else node
    if not isinstance(state, dict):
        return
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield f'{prefix}{name}', value
    for name, value in state.items():
        if isinstance(value, Stub):
            yield from _flatten(value, f'{prefix}{name}.')


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The named tensors of a checkpoint file.

    Unwraps ``state_dict``, ``model`` and the like, flattens the module tree of a TorchScript
    archive, and keeps tensors only. NumPy arrays become tensors.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; also if there is no tensor.
    """
    content = read_checkpoint(path)
    if isinstance(content, Stub):
        return dict(_flatten(content, ''))
    for _ in range(2):
        for wrapper in _WRAPPERS:
            if isinstance(content, dict) and isinstance(content.get(wrapper), dict | Stub):
                inner = content[wrapper]
                content = dict(inner.items) if isinstance(inner, Stub) else inner
                break
    tensors = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, np.ndarray) and value.dtype != object:
            value = torch.from_numpy(value)
        if isinstance(value, torch.Tensor):
            tensors[str(name)] = value
    if not tensors:
        raise ValueError(f'{path} holds no named tensors')
    return tensors


def write_state_dict(state: dict[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Write tensors whole or not at all: ``.safetensors``, else a torch file with ``state_dict``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial-{os.getpid()}')
    state = {name: value.detach().contiguous().clone() for name, value in state.items()}
    try:
        if path.suffix == '.safetensors':
            safetensors.torch.save_file(state, partial)
        else:
            torch.save({'state_dict': state}, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
