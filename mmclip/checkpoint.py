"""Reads any checkpoint file without executing what it holds.

safetensors, torch files (zip and the older format), TorchScript archives and plain pickles. Pickles
are run by :mod:`mmclip.safe_pickle`, which builds tensors, arrays and containers and puts an inert
stub for everything else: checkpoints that hold omegaconf nodes, Lightning callbacks or worse are
read for their tensors alone. A file gives all it holds or an error.
"""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from mmclip.safe_pickle import Stub
from mmclip.torch_files import Archive, read_legacy
from mmclip.whole_files import atomic_file

# Containers around a state dict, in the order in which they are unwrapped.
_WRAPPERS = ('state_dict', 'model_state_dict', 'model', 'module', 'params')
# Integers of OpenAI's archives that belong to their state dict.
_INTEGERS = ('input_resolution', 'context_length', 'vocab_size')
_MAX_DEPTH, _MAX_NAMES = 100, 10**6


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = f'{type(error).__name__}: {str(error)[:200]}'
    return ValueError(f'{path} is cut off, damaged or not a checkpoint ({reason})')


def _is_safetensors(path: Path) -> bool:
    """Whether a file of any name, e.g. a hash in a cache, starts like one: length, then json."""
    with path.open('rb') as stream:
        head = stream.read(9)
    return head[8:] == b'{' and int.from_bytes(head[:8], 'little') < path.stat().st_size


def _read(path: Path) -> tuple[Any, Archive | None]:
    if not path.is_file():
        what = 'is a folder or a pipe, not a file' if path.exists() else 'does not exist'
        raise FileNotFoundError(f'checkpoint {path} {what}')
    try:
        if path.suffix == '.safetensors' or _is_safetensors(path):
            return safetensors.torch.load_file(path), None
        if zipfile.is_zipfile(path):
            archive = Archive(path)
            return archive.read(), archive
        return read_legacy(path), None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged file makes the parsers raise
        raise _damaged(path, error) from error


def read_checkpoint(path: str | os.PathLike) -> Any:
    """What a checkpoint file holds: tensors and containers, stubs for the rest.

    Tensors are on the CPU, and each storage is read once. Tensor subclasses become tensors. The
    module tree of a TorchScript archive comes as stubs (see :func:`read_state_dict`), and so do
    sparse and quantised tensors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is cut off, damaged or not a checkpoint, or written on a big-endian
            machine.
    """
    return _read(Path(path))[0]


def _flatten(
    node: Stub, archive: Archive | None, prefix: str = '', depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Tensors of a module tree (TorchScript's, or a pickled module) by state-dict name."""
    if depth > _MAX_DEPTH:
        raise ValueError('a module tree of more than 100 levels')
    state = node.state if isinstance(node.state, dict) else {}
    if isinstance(state.get('_modules'), dict) and isinstance(state.get('_parameters'), dict):
        hidden = state.get('_non_persistent_buffers_set') or ()
        own = {**state['_parameters'], **(state.get('_buffers') or {})}
        own = {name: value for name, value in own.items() if name not in hidden}
        children = state['_modules']
    else:
        kept = archive and archive.state_names(node.path)
        own = {k: v for k, v in state.items() if kept is None or k in kept}
        if depth == 0:
            own |= {k: torch.tensor(state[k]) for k in _INTEGERS if type(state.get(k)) is int}
        children = {k: v for k, v in state.items() if isinstance(v, Stub) and v.path[:2] == '__'}
        own = {k: v for k, v in own.items() if k not in children}
    yield from ((prefix + str(name), value) for name, value in own.items())
    for name, child in children.items():
        if isinstance(child, Stub):
            if child.path.startswith('__torch__.torch.classes'):
                raise ValueError(f'{prefix}{name}: quantised weights are not read')
            yield from _flatten(child, archive, f'{prefix}{name}.', depth + 1)


def _named_values(content: Any, archive: Archive | None) -> Iterator[tuple[str, Any]]:
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
        yield from _flatten(content, archive)


def _tensors(named_values: Iterator[tuple[str, Any]]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for count, (name, value) in enumerate(named_values):
        if count > _MAX_NAMES:
            raise ValueError('more than a million names')
        if isinstance(value, Stub) and 'torch' in value.path and 'rebuild' in value.path:
            raise ValueError(
                f'{name!r} is a sparse, quantised or other special tensor ({value.path}), which '
                'is not read; save it dense'
            )
        if isinstance(value, np.ndarray) and not getattr(value, 'inert', False):
            value = torch.from_numpy(np.asarray(value))
        if isinstance(value, torch.Tensor):
            tensors[str(name)] = value
    return tensors


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The named tensors of a checkpoint file.

    Unwraps ``state_dict``, ``model`` and the like, flattens the module tree of a TorchScript
    archive or of a pickled module to the names of its ``state_dict()``, and keeps tensors only.
    NumPy arrays become tensors, OpenAI's three integers too.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; also if there is no tensor, or
            one of a kind that is not read (sparse, quantised).
    """
    content, archive = _read(Path(path))
    try:
        tensors = _tensors(_named_values(content, archive))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    except Exception as error:
        raise _damaged(path, error) from error
    if not tensors:
        raise ValueError(f'{path} holds no named tensors')
    return tensors


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
