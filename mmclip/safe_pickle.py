"""Reads a pickle for its tensors, arrays and containers; nothing that it names is imported.

A pickle is a small program that names functions and calls them. :class:`TensorUnpickler` runs it on
a machine of its own with a short list of instructions. A name is looked up in one table of builders
(:mod:`mmclip.safe_builders`); every other name becomes an inert :class:`Stub` that records what it
was given. There is no way from the file to Python's own classes, functions or attributes, and what
the builders copy is bounded by the size of the file.
"""

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

Shared = Callable[[tuple], Any]
_KEYS = (str, bytes, int, float, complex, frozenset, type(None), np.generic, torch.dtype)
_LITERALS = frozenset(
    'INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING '
    'UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 '
    'BYTEARRAY8'.split()
)
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


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


def check_hashable(key: Any, depth: int = 0) -> Any:
    """``key`` if it may become a key: deep tuples would overflow the interpreter's stack."""
    if isinstance(key, (*_KEYS, Stub)):
        return key
    if type(key) is tuple and depth < 4 and len(key) < 64:
        for part in key:
            check_hashable(part, depth + 1)
        return key
    raise UnsafePickle(f'a {type(key).__name__} as a key')


class TensorUnpickler:
    """The machine.

    Args:
        stream: Holds the pickle; read up to its end mark and no further.
        size: Bytes of the file, the measure of what builders may copy.
        find: From (module, name) to a value, a :class:`Builder`, or None for a stub.
        load_shared: Resolves persistent ids; None refuses them.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        size: int,
        find: Callable[[str, str], Any],
        load_shared: Shared | None = None,
    ) -> None:
        self._stream, self._find, self._load_shared = stream, find, load_shared
        self._budget = 8 * size + 2**16

    def spend(self, elements: int) -> None:
        """Account for what a builder copies.

        Raises:
            UnsafePickle: the pickle copies more than any honest one of its size.
        """
        self._budget -= elements
        if self._budget < 0:
            raise UnsafePickle('it unfolds into far more than its own size')

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
        taken = frozenset(map(check_hashable, self._pop_to_mark()))
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
            target.update(map(check_hashable, values))
        elif isinstance(target, Stub):
            target.items.extend(values)
        else:
            raise UnsafePickle(f'adding to a {type(target).__name__}')

    def _set_items(self, values: list) -> None:
        target = self._stack[-1]
        pairs = zip(values[::2], values[1::2], strict=True)
        if type(target) in (dict, OrderedDict):
            target.update((check_hashable(key), value) for key, value in pairs)
        elif isinstance(target, Stub):
            target.items.extend(pairs)
        else:
            raise UnsafePickle(f'setting items of a {type(target).__name__}')

    # Names and calls.
    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnsafePickle('a name that is no text')
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
        elif hasattr(target, 'set_pickled_state'):  # the builders' own classes
            target.set_pickled_state(self, state)
        elif type(target) is not OrderedDict:  # attributes of a dict are dropped
            raise UnsafePickle(f'a state for a {type(target).__name__}')

    def _do_binpersid(self, _: None) -> None:
        identity = self._stack.pop()
        if self._load_shared is None or type(identity) is not tuple:
            raise UnsafePickle('a reference to something outside of the pickle')
        self._stack.append(self._load_shared(identity))
