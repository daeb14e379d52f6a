"""Reads any checkpoint file without executing what it holds.

safetensors, torch files (zip and the older format), TorchScript archives and plain pickles. Pickles
are run by :mod:`mmclip.io.unpickle`, which builds tensors, arrays and containers and puts an inert
stub for everything else: checkpoints that hold omegaconf nodes, Lightning callbacks or worse are
read for their tensors alone. A file gives all it holds or an error.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from mmclip.io.atomic import atomic_file
from mmclip.io.torch_archive import Archive, read_legacy
from mmclip.io.unpickle import Budget, Stub

# Containers around a state dict, in the order in which they are unwrapped.
_WRAPPERS = ('state_dict', 'model_state_dict', 'model', 'module', 'params')
# Integers of OpenAI's archives that belong to their state dict.
_INTEGERS = ('input_resolution', 'context_length', 'vocab_size')
_MAX_DEPTH = 100
# What a run goes on from: here a stub would be a loss.
_TRAINING_STATE = ('optimizer', 'param_schedulers', 'message_hub', 'ema_state_dict')


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = f'{type(error).__name__}: {str(error)[:200]}'
    return ValueError(f'{path} is cut off, damaged or not a checkpoint ({reason})')


def _format(path: Path) -> str:
    """By the first bytes, as torch tells them apart, whatever the name, e.g. a hash in a cache."""
    with path.open('rb') as stream:
        head = stream.read(9)
    if path.suffix == '.safetensors':
        return 'safetensors'
    if head[8:] == b'{' and int.from_bytes(head[:8], 'little') < path.stat().st_size:
        return 'safetensors'
    return 'zip' if head[:4] == b'PK\3\4' else 'legacy'


def _read(
    path: Path, device: str | torch.device = 'cpu', *, verify: bool = False
) -> tuple[Any, Archive | None]:
    if not path.is_file():  # a pipe would be waited for
        what = 'is a folder or a pipe, not a file' if path.exists() else 'does not exist'
        raise FileNotFoundError(f'checkpoint {path} {what}')
    try:
        kind = _format(path)
        if kind == 'safetensors' and str(device) == 'meta':
            with safetensors.safe_open(path, framework='pt') as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
                return {n: torch.empty(shape, device='meta') for n, shape in shapes.items()}, None
        if kind == 'safetensors':
            return safetensors.torch.load_file(path, device=str(device)), None
        if kind == 'legacy':
            return read_legacy(path, device), None
        archive = Archive(path)
        if verify:
            archive.verify()
        return archive.read(device), archive
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes the parsers raise
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise _damaged(path, error) from error


def read_checkpoint(path: str | os.PathLike) -> Any:
    """What a checkpoint file holds: tensors and containers, stubs for the rest.

    Tensors are on the CPU, and each storage is read once. Tensor subclasses become tensors. The
    module tree of a TorchScript archive comes as stubs (see :func:`read_state_dict`), and so do
    sparse and quantized tensors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is cut off, damaged or not a checkpoint, or written on a big-endian
            machine.
    """
    return _read(Path(path))[0]


def read_outline(path: str | os.PathLike, *, verify: bool = False) -> Any:
    """:func:`read_checkpoint` without the numbers, which takes little time and memory.

    Tensors are on the device ``meta``; those of a safetensors file have their shape only.

    Args:
        path: The file.
        verify: Compare the numbers with their check sums too (zip; the other formats have none).

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`.
    """
    return _read(Path(path), 'meta', verify=verify)[0]


def _stub_inside(node: Any) -> Stub | np.ndarray | None:
    seen, left = set(), [node]
    while left:
        node = left.pop()
        if isinstance(node, Stub) or getattr(node, 'inert', False):
            return node
        if isinstance(node, dict | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            left += node.values() if isinstance(node, dict) else node
    return None


def read_training_checkpoint(
    path: str | os.PathLike, device: str | torch.device = 'cpu', *, verify: bool = False
) -> dict:
    """A checkpoint as MMEngine wants it: to load weights from, or to resume.

    A file that is no dict (safetensors, TorchScript, a pickled module) comes as ``state_dict``.

    Args:
        path: The file.
        device: Where the tensors go; on ``meta`` their numbers are left out.
        verify: As for :func:`read_outline`.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_state_dict`; also if the state of the
            training holds an object that is not read.
    """
    path = Path(path)
    content, archive = _read(path, device, verify=verify)
    if not isinstance(content, dict) or _format(path) == 'safetensors':
        content = {'state_dict': _state_dict(path, content, archive)}
    else:
        _state_dict(path, content, archive, may_be_empty=True)
    for part in _TRAINING_STATE:
        stub = _stub_inside(content.get(part))
        if stub is not None:
            raise ValueError(
                f'{path}: {part} holds {stub!r}, which is not read; write its weights alone '
                '(mmclip.io.checkpoint: write_state_dict(read_state_dict(path), new_path))'
            )
    return content


def _flatten(
    node: Stub, archive: Archive | None, budget: Budget, prefix: str = '', depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Tensors of a module tree (TorchScript's, or a pickled module) by state-dict name."""
    if depth > _MAX_DEPTH:
        raise ValueError('a module tree of more than 100 levels')
    state = node.state if isinstance(node.state, dict) else {}
    parts = [state.get(name) for name in ('_modules', '_parameters', '_buffers')]
    # A module may be in the tree under many names.
    budget.spend(256 + 64 * sum(len(part) for part in (state, *parts) if isinstance(part, dict)))
    if isinstance(parts[0], dict) and isinstance(parts[1], dict):
        hidden = state.get('_non_persistent_buffers_set')
        own = {**parts[1], **(parts[2] or {})}
        if isinstance(hidden, set):
            own = {name: value for name, value in own.items() if name not in hidden}
        children = parts[0]
    else:
        kept = archive and archive.state_names(node.path)
        own = {k: v for k, v in state.items() if kept is None or k in kept}
        if depth == 0:
            own |= {k: torch.tensor(state[k]) for k in _INTEGERS if type(state.get(k)) is int}
        children = {k: v for k, v in state.items() if isinstance(v, Stub) and v.path[:2] == '__'}
        own = {k: v for k, v in own.items() if k not in children}
    for name, value in own.items():
        budget.spend(len(prefix) + len(_name(name)))
        yield prefix + _name(name), value
    for name, child in children.items():
        if isinstance(child, Stub):
            if child.path.startswith('__torch__.torch.classes'):
                raise ValueError(f'{prefix}{_name(name)}: quantized weights are not read')
            budget.spend(len(prefix) + len(_name(name)))
            yield from _flatten(child, archive, budget, f'{prefix}{_name(name)}.', depth + 1)


def _name(key: Any) -> str:
    if not isinstance(key, str | int):  # the text of a tuple can be far longer than the tuple
        raise ValueError(f'a tensor is named by a {type(key).__name__}, not by text')
    return str(key)


def _named_values(content: Any, archive: Archive | None, size: int) -> Iterator[tuple[str, Any]]:
    for _ in range(2):
        for wrapper in _WRAPPERS:
            if isinstance(content, dict) and isinstance(content.get(wrapper), dict | Stub):
                content = content[wrapper]
                break
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, Stub) and content.items:  # a subclass of dict
        yield from (pair for pair in content.items if isinstance(pair, tuple) and len(pair) == 2)
    elif isinstance(content, Stub):
        yield from _flatten(content, archive, Budget(32 * size + 2**20))


def _tensors(named_values: Iterator[tuple[str, Any]], size: int) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    # What they come to if each is given memory of its own: one tensor may have many names.
    budget = Budget(8 * size + 2**28)
    for name, value in named_values:
        if isinstance(value, Stub) and 'torch' in value.path and 'rebuild' in value.path:
            raise ValueError(
                f'{_name(name)!r} is a sparse, quantized or other special tensor ({value.path}), '
                'which is not read; save it dense'
            )
        if isinstance(value, np.ndarray) and not getattr(value, 'inert', False):
            if value.dtype.kind in 'biufc':
                value = torch.from_numpy(value.astype(value.dtype.newbyteorder('='), copy=False))
        if isinstance(value, torch.Tensor):
            budget.spend(value.nbytes)
            tensors[_name(name)] = value
    return tensors


def _state_dict(
    path: Path, content: Any, archive: Archive | None, *, may_be_empty: bool = False
) -> dict[str, torch.Tensor]:
    size = path.stat().st_size
    try:
        tensors = _tensors(_named_values(content, archive, size), size)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    except Exception as error:
        raise _damaged(path, error) from error
    if not tensors and not may_be_empty:
        raise ValueError(f'{path} holds no named tensors')
    return tensors


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The named tensors of a checkpoint file.

    Unwraps ``state_dict``, ``model`` and the like, flattens the module tree of a TorchScript
    archive or of a pickled module to the names of its ``state_dict()``, and keeps tensors only.
    NumPy arrays become tensors, OpenAI's three integers too.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; also if there is no tensor, or
            one of a kind that is not read (sparse, quantized).
    """
    path = Path(path)
    return _state_dict(path, *_read(path))


def write_state_dict(state: dict[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Write tensors whole or not at all, in the format that the suffix says.

    Args:
        state: Tensors by name; views and shared ones are written as tensors of their own.
        path: ``.safetensors``, or anything else for a torch file with ``state_dict``.
    """
    path = Path(path)
    state = {name: value.detach().contiguous().clone() for name, value in state.items()}
    with atomic_file(path) as partial:
        if path.suffix == '.safetensors':
            safetensors.torch.save_file(state, partial)
        else:
            torch.save({'state_dict': state}, partial)
