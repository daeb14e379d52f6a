"""What a pickle can have built by name: tensors, arrays, numbers, containers, MMEngine's logs."""

import math
import re
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmclip.io.unpickle import Builder, Stub, TensorUnpickler, UnsafePickle

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
# Others by name, for `_rebuild_tensor_v3`; no quantized ones, none of less than a byte.
_OTHERS = (
    'uint16 uint32 uint64 complex32 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz '
    'float8_e8m0fnu'
).split()
_DTYPES = {
    name: dtype
    for name, dtype in vars(torch).items()
    if isinstance(dtype, torch.dtype) and (dtype in STORAGES.values() or name in _OTHERS)
}
_MAX_DIMENSIONS = 64  # NumPy's limit
_ENTRY = 128  # bytes that an entry of a container takes
ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'
_NUMPY_KIND = re.compile(r'[<>=|]?([?biufcSU])(\d{0,4})')


def is_count(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**62 for value in values)


def _is_shape(shape: Any) -> bool:
    return type(shape) is tuple and len(shape) <= _MAX_DIMENSIONS and is_count(*shape)


def view_storage(
    machine: TensorUnpickler,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    metadata: Any = None,
) -> torch.Tensor | Stub:
    """A tensor over a 1-D storage; a stub if the storage is none that is read (quantized).

    Raises:
        UnsafePickle: the tensor reaches over its storage, or all tensors together are far larger
            than the file.
    """
    if isinstance(storage, Stub):
        return Stub(f'torch._utils._rebuild_tensor over {storage.path}', ())
    sound = isinstance(storage, torch.Tensor) and _is_shape(size) and _is_shape(stride)
    if not sound or len(size) != len(stride) or not is_count(offset):
        raise UnsafePickle('a tensor with a damaged shape')
    numel = math.prod(size)
    if numel == 0:
        return storage.new_empty(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.numel():
        raise UnsafePickle('a tensor reaches over the end of its storage')
    machine.tensors.spend(numel * storage.element_size())
    tensor = torch.as_strided(storage, size, stride, offset)
    if isinstance(metadata, dict):
        tensor = tensor.conj() if metadata.get('conj') is True else tensor
        tensor = tensor._neg_view() if metadata.get('neg') is True else tensor
    return tensor


def _tensor(machine, storage, offset, size, stride, grad=False, hooks=None, metadata=None, *__):
    return view_storage(machine, storage, offset, size, stride, metadata)


def _typed_tensor(machine, storage, offset, size, stride, grad, hooks, dtype, metadata=None, *__):
    """``_rebuild_tensor_v3``: the storage is untyped bytes."""
    if isinstance(dtype, Stub):
        return Stub(f'torch._utils._rebuild_tensor over {dtype.path}', ())
    if not isinstance(storage, torch.Tensor) or not isinstance(dtype, torch.dtype):
        raise UnsafePickle('a tensor without storage or dtype')
    return view_storage(machine, storage.view(dtype), offset, size, stride, metadata)


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
        if not _is_shape(shape) or not isinstance(data, bytes):
            raise UnsafePickle('a damaged array')
        if math.prod(shape) * dtype.itemsize != len(data):
            raise UnsafePickle('an array whose data does not fill its shape')
        np.ndarray.__setstate__(self, (1, shape, dtype, bool(fortran), data))


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
    machine.spend(len(data) if isinstance(data, str | bytes) else 0)
    if getattr(kind, 'odd', False):
        return Stub('numpy.core.multiarray.scalar', (data,))
    return new_number(kind, data)


def _listed(machine: TensorUnpickler, values: Any) -> list | tuple:
    if not isinstance(values, list | tuple):
        raise UnsafePickle('a container made of something else than a list')
    machine.spend(_ENTRY * len(values))
    return values


def _ordered(machine, pairs=(), *_):
    result = OrderedDict()
    for pair in _listed(machine, pairs):
        key, value = _listed(machine, pair)
        result[machine.check_key(key, len(result))] = value
    return result


def _counter(machine, counts=None, *_):
    if not isinstance(counts or {}, dict):
        raise UnsafePickle('a counter made of something else than a dict')
    machine.spend(_ENTRY * len(counts or {}))
    return Counter(counts or {})


def _bytes(machine, data=b'', *_):
    if not isinstance(data, str | bytes | bytearray):  # a number would ask for so many zeros
        raise UnsafePickle('bytes made of something else than text')
    machine.spend(len(data))
    return data.encode('latin1') if isinstance(data, str) else bytes(data)


def _complex(machine, *parts):
    if not all(isinstance(part, int | float) for part in parts):
        raise UnsafePickle('a complex number made of something else than numbers')
    return complex(*parts)


def _set(machine, values=()):
    return machine.add_to_set(set(), _listed(machine, values))


def _attribute(machine, owner, name, *_):
    """``getattr`` as far as MMEngine's checkpoints need it: two functions of a scheduler."""
    found = isinstance(owner, Stub) and owner.args is None and owner.path == ONE_CYCLE
    if found and name in ('_annealing_cos', '_annealing_linear'):
        from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

        return getattr(OneCycleParamScheduler, name)
    return Stub('builtins.getattr', (owner, name))


_BUILTINS = {
    'set': Builder(_set),
    'frozenset': Builder(lambda machine, *args: frozenset(_set(machine, *args))),
    'getattr': Builder(_attribute),
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
    'builtins': _BUILTINS,
    '__builtin__': _BUILTINS,
    'mmengine.logging.history_buffer': {'HistoryBuffer': Builder(lambda *_: HistoryBuffer())},
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
    if module == 'torch' and name in _DTYPES:
        return _DTYPES[name]
    return _BUILDERS.get(module, {}).get(name)


def _set_history(buffer: HistoryBuffer, state: Any) -> None:
    """The numbers of a log; its functions (``register_statistics``) are this process's own."""
    arrays = [state.get(name) for name in ('_log_history', '_count_history')]
    if not all(isinstance(array, Array) and not array.inert for array in arrays):
        raise UnsafePickle('a damaged HistoryBuffer')
    if type(state.get('max_length')) is not int:
        raise UnsafePickle('a damaged HistoryBuffer')
    buffer.max_length = state['max_length']
    buffer._log_history, buffer._count_history = (array.view(np.ndarray) for array in arrays)


def set_state(machine: TensorUnpickler, target: Any, state: Any) -> None:
    """What ``__setstate__`` does, for what this module builds.

    Raises:
        UnsafePickle: the object takes no state, or the state is damaged.
    """
    if isinstance(target, Array):
        if type(state) is tuple and len(state) == 5 and getattr(state[2], 'odd', False):
            target.inert = True
        else:
            machine.spend(len(state[4]) if isinstance(state[4], str | bytes) else 0)
            target.__setstate__(state)
    elif isinstance(target, Kind):
        target.__setstate__(state)
    elif isinstance(target, HistoryBuffer) and isinstance(state, dict):
        _set_history(target, state)
    elif type(target) is OrderedDict:  # of the attributes, a state dict's versions are kept
        if isinstance(state, dict) and isinstance(state.get('_metadata'), dict):
            target._metadata = state['_metadata']
    else:
        raise UnsafePickle(f'a state for a {type(target).__name__}')
