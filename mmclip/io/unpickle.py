"""Reads a pickle for its tensors, arrays and containers; nothing that it names is imported.

A pickle is a small program that names functions and calls them. :class:`TensorUnpickler` runs it on
a machine of its own with a short list of instructions. A name is looked up in one table of builders
(:mod:`mmclip.io.tensor_builders`); every other name becomes an inert :class:`Stub` that records
what it was given. There is no way from the file to Python's own classes, functions or attributes.
Memory and time are bounded by the size of the file: every instruction that makes more than it is
long, and every look at a key, is paid for out of a :class:`Budget`."""

import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np
import torch

Shared = Callable[[tuple], Any]
_KEYS = (int, float, type(None), np.generic, torch.dtype)
_LITERALS = frozenset(
    'INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING '
    'UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 '
    'BYTEARRAY8'.split()
)
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
# Bytes of memory that instructions of a few bytes take.
_COSTS = {
    **dict(MARK=64, MEMOIZE=72, TUPLE=56, TUPLE1=56, TUPLE2=64, TUPLE3=72),
    **dict(LIST=64, EMPTY_LIST=96, DICT=240, EMPTY_DICT=240, FROZENSET=224, EMPTY_SET=224),
    **dict(GLOBAL=128, STACK_GLOBAL=128, INST=512, BINPERSID=256),
    **dict.fromkeys(('REDUCE', 'NEWOBJ', 'NEWOBJ_EX', 'OBJ'), 384),
}


class UnsafePickle(pickle.UnpicklingError, ValueError):
    """A pickle that asks for what this machine does not do."""


class Stub:
    """Stands for a class, or an object of one, that is not built: keeps what the pickle gave it.

    Attributes:
        path: Module and name of the class, e.g. ``'omegaconf.dictconfig.DictConfig'``.
        args: Positional arguments of the object; None for the class itself.
        state: What ``__setstate__`` would have got, or None.
        items: What was appended, or (key, value) pairs that were set.
    """

    __slots__ = ('args', 'items', 'path', 'state')

    def __init__(self, path: str, args: tuple | None = None) -> None:
        self.path, self.args, self.state, self.items = path, args, None, []

    def __repr__(self) -> str:
        return f'<stub of {self.path}>'


class Builder:
    """A function that a pickle may call.

    Args:
        function: Called with (machine, *arguments of the pickle).
    """

    __slots__ = ('function',)

    def __init__(self, function: Callable) -> None:
        self.function = function


class Budget:
    """What a file may still ask for.

    Args:
        left: Bytes, or steps that cost as much.
    """

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, amount: int) -> None:
        """Pay.

        Raises:
            UnsafePickle: the file asks for more than any honest one of its size.
        """
        self._left -= amount
        if self._left < 0:
            raise UnsafePickle('it unfolds into far more than its own size')


class TensorUnpickler:
    """The machine.

    Args:
        stream: Holds the pickle; read up to its end mark and no further.
        size: Bytes of the pickle, the measure of what it may unfold into.
        find: From (module, name) to a value, a :class:`Builder`, or None for a stub.
        set_state: Called with (machine, object, state) for what is no stub.
        load_shared: Resolves persistent ids; None refuses them.
        file_size: Bytes of the file with all its storages, the measure of what its tensors may come
            to if each is given memory of its own.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        size: int,
        find: Callable[[str, str], Any],
        set_state: Callable[['TensorUnpickler', Any, Any], None],
        load_shared: Shared | None = None,
        file_size: int | None = None,
    ) -> None:
        self._stream, self._find, self._set_state = stream, find, set_state
        self._load_shared = load_shared
        self.spend = Budget(32 * size + 2**20).spend
        self.tensors = Budget(8 * (size if file_size is None else file_size) + 2**28)

    def check_key(self, key: Any, others: int, depth: int = 0) -> Any:
        """``key`` if it may become a key of a container that has ``others``.

        A file can choose numbers that all have one hash, and tuples that are long to hash; deep
        ones overflow the interpreter's stack. Text is hashed with a secret.
        """
        if isinstance(key, str | bytes) or (type(key) is int and -(2**31) < key < 2**31):
            self.spend(64 if depth else 0)
        elif isinstance(key, (*_KEYS, Stub)):
            self.spend(64 + others)
        elif type(key) is tuple and depth < 4 and len(key) < 64:
            self.spend(64 + others)
            for part in key:
                self.check_key(part, others, depth + 1)
        else:
            raise UnsafePickle(f'a {type(key).__name__} as a key')
        return key

    def add_to_set(self, target: set, values: Iterable) -> set:
        for value in values:
            target.add(self.check_key(value, len(target)))
        return target

    def load(self) -> Any:
        """Run the pickle.

        Raises:
            Exception: of any kind if the pickle is damaged; :class:`UnsafePickle` if it asks for
                something else than data.
        """
        self._stack: list = []
        self._marked: list[list] = []
        self._memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(self._stream):
            name = opcode.name
            if name in _COSTS:
                self.spend(_COSTS[name])
            if name in _LITERALS:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                self._stack.append(tuple(self._pop_many(_TUPLES[name])))
            elif name == 'STOP':
                return self._stack.pop()
            else:
                step = getattr(self, f'_do_{name.lower()}', None)
                if step is None:
                    raise UnsafePickle(f'the instruction {name} is not allowed')
                step(argument)
        raise EOFError('the pickle has no end')

    def _pop_many(self, count: int) -> list:
        if len(self._stack) < count:
            raise UnsafePickle('too few values')
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _pop_to_mark(self) -> list:
        taken, self._stack = self._stack, self._marked.pop()
        return taken

    # What belongs to the stack itself.
    def _do_proto(self, version: int) -> None:
        if version > 5:
            raise UnsafePickle(f'protocol {version} is unknown')

    def _do_frame(self, size: int) -> None:
        pass  # only announces how much follows

    def _do_mark(self, _: None) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _do_pop(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_to_mark()

    def _do_pop_mark(self, _: None) -> None:
        self._pop_to_mark()

    def _do_dup(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def _do_put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _do_binget = _do_long_binget = _do_get

    # Containers.
    def _do_empty_list(self, _: None) -> None:
        self._stack.append([])

    def _do_empty_dict(self, _: None) -> None:
        self._stack.append({})

    def _do_empty_set(self, _: None) -> None:
        self._stack.append(set())

    def _do_list(self, _: None) -> None:
        taken = self._pop_to_mark()
        self._stack.append(taken)

    def _do_tuple(self, _: None) -> None:
        taken = tuple(self._pop_to_mark())
        self._stack.append(taken)

    def _do_frozenset(self, _: None) -> None:
        taken = frozenset(self.add_to_set(set(), self._pop_to_mark()))
        self._stack.append(taken)

    def _do_dict(self, _: None) -> None:
        taken = self._pop_to_mark()
        self._stack.append({})
        self._set_items(taken)

    def _do_append(self, _: None) -> None:
        self._extend([self._stack.pop()])

    def _do_appends(self, _: None) -> None:
        self._extend(self._pop_to_mark())

    def _do_additems(self, _: None) -> None:
        self._extend(self._pop_to_mark())

    def _do_setitem(self, _: None) -> None:
        self._set_items(self._pop_many(2))

    def _do_setitems(self, _: None) -> None:
        self._set_items(self._pop_to_mark())

    def _extend(self, values: list) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is set:
            self.add_to_set(target, values)
        elif isinstance(target, Stub):
            target.items.extend(values)
        else:
            raise UnsafePickle(f'adding to a {type(target).__name__}')

    def _set_items(self, values: list) -> None:
        target = self._stack[-1]
        pairs = zip(values[::2], values[1::2], strict=True)
        if type(target) in (dict, OrderedDict, Counter):
            for key, value in pairs:
                target[self.check_key(key, len(target))] = value
        elif isinstance(target, Stub):
            target.items.extend(pairs)
        else:
            raise UnsafePickle(f'setting items of a {type(target).__name__}')

    # Names and calls.
    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnsafePickle('a name that is no text')
        self.spend(len(module) + len(name))
        found = self._find(module, name)
        self._stack.append(Stub(f'{module}.{name}') if found is None else found)

    def _do_global(self, argument: str) -> None:
        self._name(*argument.split(' ', 1))

    def _do_stack_global(self, _: None) -> None:
        self._name(*self._pop_many(2))

    def _call(self, function: Any, args: Any) -> None:
        if type(args) is not tuple:
            raise UnsafePickle('arguments that are no tuple')
        if isinstance(function, Builder):
            self._stack.append(function.function(self, *args))
        elif isinstance(function, Stub):
            self._stack.append(Stub(function.path, args))
        else:
            raise UnsafePickle(f'a call of a {type(function).__name__}')

    def _do_reduce(self, _: None) -> None:
        self._call(*self._pop_many(2))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: None) -> None:
        function, args, keywords = self._pop_many(3)
        self._call(function, args)
        if keywords and isinstance(self._stack[-1], Stub):
            self._stack[-1].items.append(keywords)

    def _do_obj(self, _: None) -> None:
        function, *args = self._pop_to_mark()
        self._call(function, tuple(args))

    def _do_inst(self, argument: str) -> None:
        args = self._pop_to_mark()
        self._do_global(argument)
        self._call(self._stack.pop(), tuple(args))

    def _do_build(self, _: None) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Stub):
            target.state = state
        else:
            self._set_state(self, target, state)

    def _do_binpersid(self, _: None) -> None:
        identity = self._stack.pop()
        if self._load_shared is None or type(identity) is not tuple:
            raise UnsafePickle('a reference to something outside of the pickle')
        self._stack.append(self._load_shared(identity))
