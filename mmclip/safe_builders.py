"""What a pickle can have built by name: tensors, NumPy arrays and numbers, a few containers."""

import math
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from mmclip.safe_pickle import Builder, Stub, TensorUnpickler, UnsafePickle, check_hashable

STORAGES = {
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
# A tensor may repeat its storage (`expand`) up to this many bytes.
_MAX_REPEATED = 2**28
_NUMPY_KIND = re.compile(r'[<>=|]?([?biufcSU])(\d{0,4})')


def is_count(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**62 for value in values)


def view_storage(
    storage: Any, offset: Any, size: Any, stride: Any, metadata: Any = None
) -> torch.Tensor | Stub:
    """A tensor over a 1-D storage; a stub if the storage is none that is read (quantised).

    Raises:
        UnsafePickle: the tensor reaches over its storage or repeats it without measure.
    """
    if isinstance(storage, Stub):
        return Stub(f'torch._utils._rebuild_tensor over {storage.path}', ())
    sound = isinstance(storage, torch.Tensor) and type(size) is tuple and type(stride) is tuple
    if not sound or len(size) != len(stride) or not is_count(offset, *size, *stride):
        raise UnsafePickle('a tensor with a damaged shape')
    numel = math.prod(size)
    if numel == 0:
        return storage.new_empty(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.numel():
        raise UnsafePickle('a tensor reaches over the end of its storage')
    if numel > storage.numel() and numel * storage.element_size() > _MAX_REPEATED:
        raise UnsafePickle('a tensor repeats its storage without measure')
    tensor = torch.as_strided(storage, size, stride, offset)
    if isinstance(metadata, dict):
        tensor = tensor.conj() if metadata.get('conj') is True else tensor
        tensor = tensor._neg_view() if metadata.get('neg') is True else tensor
    return tensor


def _tensor(_, storage, offset, size, stride, grad=False, hooks=None, metadata=None, *__):
    return view_storage(storage, offset, size, stride, metadata)


def _typed_tensor(_, storage, offset, size, stride, grad, hooks, dtype, metadata=None, *__):
    """``_rebuild_tensor_v3``: the storage is untyped bytes."""
    if not isinstance(storage, torch.Tensor) or not isinstance(dtype, torch.dtype):
        raise UnsafePickle('a tensor without storage or dtype')
    return view_storage(storage.view(dtype), offset, size, stride, metadata)


def _tensor_with_attributes(machine, function, kind, args, *_):
    """``_rebuild_from_type_v2``: a subclass, or attributes, are dropped."""
    if isinstance(function, Builder) and type(args) is tuple:
        return function.function(machine, *args)
    return Stub('torch._tensor._rebuild_from_type_v2', (function, args))


class Kind:
    """A NumPy dtype in the making; its state gives the byte order and tells odd ones apart.

    NumPy's own ``dtype.__setstate__`` believes a file's element size and fields, which corrupts
    memory (a negative size, pointers among the data).
    """

    def __init__(self, text: Any = '', *_: Any) -> None:
        self.text, self.order = text, '='
        self.odd = not isinstance(text, str) or _NUMPY_KIND.fullmatch(text) is None

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 5:
            raise UnsafePickle('a damaged dtype')
        if state[1] in ('<', '>', '|', '='):
            self.order = state[1]
        # a sub-array, field names or fields
        self.odd = self.odd or any(part is not None for part in state[2:5])

    def set_pickled_state(self, machine: TensorUnpickler, state: Any) -> None:
        self.__setstate__(state)

    def dtype(self) -> np.dtype:
        """The dtype.

        Raises:
            UnsafePickle: it is one of objects, dates or records.
        """
        if self.odd:
            raise UnsafePickle('an array of something else than numbers or text')
        return np.dtype(self.text).newbyteorder(self.order)


class Array(np.ndarray):
    """A NumPy array whose state is checked; ``inert`` if it holds what is not read (objects).

    NumPy's own ``ndarray.__setstate__`` reads over the end of a list of objects that is too short.
    """

    inert = False
    __array_priority__ = -1.0  # together with plain arrays the result is a plain one

    def __reduce_ex__(self, protocol: int) -> tuple:
        return np.ndarray.__reduce_ex__(self.view(np.ndarray), protocol)

    def __setstate__(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or not isinstance(state[2], Kind):
            raise UnsafePickle('a damaged array')
        _, shape, kind, fortran, data = state
        dtype = kind.dtype()
        data = data.encode('latin1') if isinstance(data, str) else data
        if type(shape) is not tuple or not is_count(*shape) or not isinstance(data, bytes):
            raise UnsafePickle('a damaged array')
        if math.prod(shape) * dtype.itemsize != len(data):
            raise UnsafePickle('an array whose data does not fill its shape')
        np.ndarray.__setstate__(self, (1, shape, dtype, bool(fortran), data))

    def set_pickled_state(self, machine: TensorUnpickler, state: Any) -> None:
        if type(state) is tuple and len(state) == 5 and getattr(state[2], 'odd', False):
            self.inert = True
        else:
            self.__setstate__(state)
            machine.spend(self.nbytes)


def new_array(*_: Any) -> Array:
    """``numpy._core.multiarray._reconstruct``: an empty array that waits for its state."""
    return np.ndarray.__new__(Array, (0,), dtype=np.uint8)


def new_number(kind: Any, data: Any) -> np.generic:
    """``numpy._core.multiarray.scalar``."""
    if not isinstance(kind, Kind):
        raise UnsafePickle('a number without dtype')
    dtype = kind.dtype()
    data = data.encode('latin1') if isinstance(data, str) else data
    if not isinstance(data, bytes) or len(data) != dtype.itemsize or not data:
        raise UnsafePickle('a damaged number')
    return np.frombuffer(data, dtype)[0]


def _number(machine: TensorUnpickler, kind: Any, data: Any) -> Any:
    if getattr(kind, 'odd', False):
        return Stub('numpy.core.multiarray.scalar', (data,))
    return new_number(kind, data)


def _listed(machine: TensorUnpickler, values: Any) -> list | tuple:
    if not isinstance(values, list | tuple):
        raise UnsafePickle('a container made of something else than a list')
    machine.spend(len(values))
    return values


def _ordered(machine, pairs=(), *_):
    result = OrderedDict()
    for pair in _listed(machine, pairs):
        key, value = _listed(machine, pair)
        result[check_hashable(key)] = value
    return result


def _counter(machine, counts=None, *_):
    if not isinstance(counts or {}, dict):
        raise UnsafePickle('a counter made of something else than a dict')
    machine.spend(len(counts or {}))
    return dict(counts or {})


def _bytes(machine, data=b'', *_):
    if not isinstance(data, str | bytes | bytearray):  # a number would ask for so many zeros
        raise UnsafePickle('bytes made of something else than text')
    machine.spend(len(data))
    return data.encode('latin1') if isinstance(data, str) else bytes(data)


def _complex(machine, *parts):
    if not all(isinstance(part, int | float) for part in parts):
        raise UnsafePickle('a complex number made of something else than numbers')
    return complex(*parts)


_SETS = {
    'set': Builder(lambda m, values=(): set(map(check_hashable, _listed(m, values)))),
    'frozenset': Builder(lambda m, values=(): frozenset(map(check_hashable, _listed(m, values)))),
    'bytes': Builder(_bytes),
    'bytearray': Builder(lambda machine, *args: bytearray(_bytes(machine, *args))),
    'complex': Builder(_complex),
}
_BUILDERS = {
    'collections': {
        'OrderedDict': Builder(_ordered),
        'defaultdict': Builder(lambda machine, *_: {}),
        'Counter': Builder(_counter),
    },
    'builtins': _SETS,
    '__builtin__': _SETS,
    '_codecs': {'encode': Builder(_bytes)},
    'torch': {'Size': Builder(lambda machine, values=(): tuple(_listed(machine, values)))},
    'torch._utils': {
        '_rebuild_tensor': Builder(_tensor),
        '_rebuild_tensor_v2': Builder(_tensor),
        '_rebuild_tensor_v3': Builder(_typed_tensor),
        '_rebuild_parameter': Builder(lambda machine, data, *_: data),
        '_rebuild_parameter_with_state': Builder(lambda machine, data, *_: data),
    },
    'torch._tensor': {'_rebuild_from_type_v2': Builder(_tensor_with_attributes)},
    # TorchScript's own: typed lists, and a type written beside a value
    'torch.jit._pickle': {
        name: Builder(lambda machine, data, *_: data)
        for name in (
            'restore_type_tag',
            'build_intlist',
            'build_doublelist',
            'build_boollist',
            'build_tensorlist',
        )
    },
    'numpy': {'dtype': Builder(lambda machine, *args: Kind(*args))},
}
for _core in ('core', '_core'):
    _BUILDERS[f'numpy.{_core}.multiarray'] = {
        'scalar': Builder(_number),
        '_reconstruct': Builder(new_array),
    }


def find(module: str, name: str) -> Any:
    """The builder or value for a name in a pickle, None if it is to be a stub."""
    if module in ('torch', 'torch.storage', 'torch.cuda') and name in STORAGES:
        return STORAGES[name]
    if module == 'torch' and isinstance(vars(torch).get(name), torch.dtype):
        return vars(torch)[name]
    return _BUILDERS.get(module, {}).get(name)
