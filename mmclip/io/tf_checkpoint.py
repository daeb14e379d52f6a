"""Reads TensorFlow checkpoints (V2 bundles) without TensorFlow.

A bundle is ``PREFIX.index``, a sorted table in LevelDB's format that maps a variable's name to a
small protocol-buffer record (dtype, shape, shard, offset, size, check sum), and the shards
``PREFIX.data-0000i-of-0000n`` that hold the raw little-endian bytes. Nothing in it is compressed.

Source: tensorflow/core/protobuf/tensor_bundle.proto, LevelDB's doc/table_format.md.
"""

import os
import struct
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch

from mmclip.io.arrays import unpacked_limit
from mmclip.io.crc32c import masked_crc32c
from mmclip.io.parsing import DamagedFile, parsing

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5  # compression type and check sum behind every block
_STRING = 7
_MOST_KEY = 4096  # bytes of a variable's name
_MOST_SHARDS = 100_000
_DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    17: torch.uint16,
    19: torch.float16,
}


@dataclass
class _Entry:
    """One record of the index."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int | None = None
    sliced: bool = False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError('a number of more than 64 bits')


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protocol-buffer message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at : at + width], 'little'), at + width
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f'field type {kind} in an index record')
        if at > len(data):
            raise ValueError('an index record is cut off')
        yield tag >> 3, value


def _entry(data: bytes) -> _Entry:
    entry = _Entry()
    for number, value in _fields(data):
        if number == 1:
            entry.dtype = value
        elif number == 2:
            for dimension_number, dimension in _fields(value):
                if dimension_number == 2:
                    entry.shape.append(dict(_fields(dimension)).get(1, 0))
        elif number == 3:
            entry.shard = value
        elif number == 4:
            entry.offset = value
        elif number == 5:
            entry.size = value
        elif number == 6:
            entry.crc = value
        elif number == 7:
            entry.sliced = True
    return entry


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) pairs of one block; keys share their start with the one before."""
    block = table[offset : offset + size]
    if len(block) != size:
        raise ValueError('a block of the index is cut off')
    trailer = table[offset + size : offset + size + _TRAILER]
    if len(trailer) < _TRAILER:
        raise ValueError('a block of the index is cut off')
    if trailer[0] != 0:
        raise ValueError('the index is compressed, which TensorFlow never does')
    if masked_crc32c(block + trailer[:1]) != struct.unpack('<I', trailer[1:])[0]:
        raise ValueError('the check sum of an index block is wrong')
    restarts = struct.unpack('<I', block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    at, key = 0, b''
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared + own > _MOST_KEY:
            raise ValueError(f'a name of {shared + own} bytes')
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + length]
        at += length


def _read_index(path: Path) -> tuple[int, dict[str, _Entry]]:
    """Number of shards and the records by name."""
    table = path.read_bytes()
    if len(table) < _FOOTER or struct.unpack('<Q', table[-8:])[0] != _MAGIC:
        raise ValueError('it does not end as an index does')
    footer = table[-_FOOTER:]
    at = 0
    for _ in range(2):  # the handle of the meta block
        _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, at = _varint(footer, at)
    shards, entries, left = 1, {}, len(table)
    for _, handle in _block(table, offset, size):
        start, at = _varint(handle, 0)
        length, _ = _varint(handle, at)
        left -= length
        if left < 0:
            raise ValueError('its blocks overlap')
        for key, value in _block(table, start, length):
            if key:
                entries[key.decode()] = _entry(value)
            else:
                header = dict(_fields(value))
                shards = header.get(1, 0)
                if header.get(2, 0) != 0:
                    raise ValueError('the numbers are big-endian')
    if not 1 <= shards <= _MOST_SHARDS:
        raise ValueError(f'it names {shards} shards')
    return shards, entries


def _read_tensor(entry: _Entry, name: str, path: Path, check: bool) -> torch.Tensor:
    dtype = _DTYPES.get(entry.dtype)
    if dtype is None or entry.sliced:
        what = 'is partitioned' if entry.sliced else f'has the unknown type {entry.dtype}'
        raise ValueError(f'variable {name} {what}')
    numel = 1
    for size in entry.shape:
        numel *= size
    if numel * dtype.itemsize != entry.size:
        raise ValueError(f'variable {name} has {entry.size} bytes, its shape is {entry.shape}')
    if entry.offset + entry.size > path.stat().st_size:
        raise ValueError(f'it is cut off inside variable {name}')
    with path.open('rb') as stream:
        stream.seek(entry.offset)
        data = bytearray(stream.read(entry.size))
    if check and entry.crc is not None and masked_crc32c(data) != entry.crc:
        raise ValueError(f'the check sum of variable {name} is wrong')
    if not data:
        return torch.empty(entry.shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(entry.shape)


def _is_extra(name: str) -> bool:
    """Optimizer slots and counters."""
    last = name.rsplit('/', 1)[-1]
    return last.startswith('Momentum') or name in ('global_step', 'save_counter')


def _prefix(path: Path) -> Path:
    """The bundle's path without endings, from a prefix, an index file or a folder."""
    if path.is_dir():
        found = sorted(path.glob('*.index'))
        if not found:
            found = sorted(path.rglob('*.index'))
        if len(found) != 1:
            names = ', '.join(entry.stem for entry in found) or 'none'
            raise ValueError(f'{path}: one checkpoint is expected in the folder, found {names}')
        return found[0].with_suffix('')
    if path.suffix == '.index':
        return path.with_suffix('')
    name = path.name.split('.data-')[0]
    return path.with_name(name)


def _extract(source: IO[bytes], target: Path, archive: Path) -> None:
    with open(target, 'wb') as stream:
        while block := source.read(1 << 20):
            try:
                stream.write(block)
                stream.flush()
            except OSError as error:
                raise DamagedFile(
                    f'{archive} does not fit into the temporary folder {target.parent} ({error}); '
                    'TMPDIR names another one'
                ) from error


def _from_tar(path: Path, **options) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        with parsing(f'{path} is cut off or damaged'), tarfile.open(path) as archive:
            left = unpacked_limit(path)
            for member in archive:
                name = Path(member.name).name
                if not member.isfile() or not ('.data-' in name or name.endswith('.index')):
                    continue
                left -= member.size
                if member.issparse() or left < 0:
                    raise ValueError(
                        f'{name} would unpack to {member.size} bytes; unpack the archive by hand '
                        'if that is right, and name the folder'
                    )
                source = archive.extractfile(member)
                _extract(source, Path(folder, name), path)
        try:
            return read_tf_checkpoint(folder, **options)
        except ValueError as error:
            raise ValueError(f'{path}: {str(error).replace(folder + os.sep, "")}') from error


def is_tf_checkpoint(path: str | os.PathLike) -> bool:
    """Whether a path is a TensorFlow bundle: prefix, ``.index`` file, folder or tar of one."""
    path = Path(path)
    if path.is_dir():
        return any(path.rglob('*.index'))
    if path.name.endswith(('.tar.gz', '.tgz', '.tar')):
        return True
    return Path(f'{_prefix(path)}.index').is_file()


def read_tf_checkpoint(
    path: str | os.PathLike, *, slots: bool = False, check: bool = True
) -> dict[str, torch.Tensor]:
    """The variables of a TensorFlow V2 checkpoint, in the order of their names.

    Strings are left out.

    Args:
        path: Prefix (``.../model.ckpt-180000``), ``.index`` file, folder with one checkpoint, or a
            tar (``.tar``, ``.tar.gz``, ``.tgz``) of it.
        slots: Also return ``Momentum`` slots and ``global_step``.
        check: Compare every variable with its check sum (about a second per 200 MB).

    Raises:
        FileNotFoundError: no such checkpoint, or a shard is missing.
        ValueError: a file is cut off or damaged (it is named), or a folder holds several.
    """
    path = Path(path)
    if path.is_file() and path.name.endswith(('.tar.gz', '.tgz', '.tar')):
        return _from_tar(path, slots=slots, check=check)
    prefix = _prefix(path)
    index = Path(f'{prefix}.index')
    if not index.is_file():
        raise FileNotFoundError(f'TensorFlow checkpoint {index} does not exist')
    with parsing(f'{index} is cut off or damaged'):
        shards, entries = _read_index(index)
    result, read = {}, Counter()
    for name, entry in entries.items():
        if entry.dtype == _STRING or (not slots and _is_extra(name)):
            continue
        shard = Path(f'{prefix}.data-{entry.shard:05d}-of-{shards:05d}')
        if not shard.is_file():
            raise FileNotFoundError(f'{shard}, a part of the checkpoint, does not exist')
        with parsing(f'{shard} is cut off or damaged'):
            read[shard] += entry.size
            if read[shard] > shard.stat().st_size:
                raise ValueError(f'variable {name} overlaps others or is cut off')
            result[name] = _read_tensor(entry, name, shard, check)
    return result
