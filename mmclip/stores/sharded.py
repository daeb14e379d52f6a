"""A folder of shards that any number of processes make together: what all stores share.

    meta.json                               what the store is made of; fingerprint of all that
    shard-00003-of-00100.safetensors        tensors, and the store's fingerprint

A shard is written whole or not at all and depends on nothing but its own entries: processes that
share the folder make the same bytes, and a run that was cut off goes on with what is missing.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open

from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import DamagedFile, parsing, read_json

META = 'meta.json'


def fingerprint(meta: dict) -> str:
    """16 hexadecimal digits over everything in ``meta`` but the fingerprint itself."""
    content = {key: value for key, value in meta.items() if key != 'fingerprint'}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def checksum(tensors: Iterable[torch.Tensor], start: int = 0) -> int:
    """CRC-32 of the bytes of tensors, one after the other."""
    for tensor in tensors:
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy()
        start = zlib.crc32(data, start)
    return start


def shard_path(folder: Path, number: int, total: int) -> Path:
    """File of a shard."""
    return folder / f'shard-{number:05d}-of-{total:05d}.safetensors'


def missing_shards(folder: Path, meta: dict) -> list[int]:
    """Numbers of the shards that are not there yet."""
    total = meta['shards']
    return [i for i in range(total) if not shard_path(folder, i, total).is_file()]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, safe against other writers of the same file."""
    try:
        with atomic_file(path) as partial:
            partial.write_bytes(data)
    except FileNotFoundError:  # swept away by a process that found the store complete
        if not path.is_file():
            raise


def write_meta(folder: Path, meta: dict) -> None:
    """Write ``meta.json``; the folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / META, (json.dumps(meta, indent=1, sort_keys=True) + '\n').encode())


def read_meta(folder: Path, *, name: str, make: str, keys: tuple[str, ...] = ()) -> dict:
    """Content of ``meta.json``.

    Args:
        folder: The store.
        name: What it is, for the message.
        make: The way out: which command makes it.
        keys: Entries that there must be, beside ``shards`` and ``embed_dim``.

    Raises:
        FileNotFoundError: no store there.
        DamagedFile: the file is damaged, or was changed.
    """
    path = folder / META
    if not path.is_file():
        raise FileNotFoundError(f'there is no {name} in {folder} ({META} is missing); {make}')
    keys = ('fingerprint', 'shards', 'embed_dim', *keys)
    meta = read_json(path, f'{path} is damaged', kind=dict, keys=keys, hint=f'{make} again')
    if meta['fingerprint'] != fingerprint(meta):
        raise DamagedFile(f'{path} was changed after the {name} was made; {make} again')
    return meta


def differences(known: dict, wanted: dict) -> Iterator[tuple[str, Any, Any]]:
    """Names of entries that differ (``'teacher.model'``), with both values."""
    for key in sorted((known.keys() | wanted.keys()) - {'fingerprint'}):
        a, b = known.get(key), wanted.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from ((f'{key}.{name}', *values) for name, *values in differences(a, b))
        elif a != b:
            yield key, a, b


def save_shard(path: Path, tensors: dict[str, torch.Tensor], mark: str) -> int:
    """Write a shard, or the index of shards; returns the bytes.

    Args:
        path: The file.
        tensors: What it holds.
        mark: Fingerprint of the store.
    """
    # One entry: the order of several is not fixed, and equal shards must have equal bytes.
    data = safetensors.torch.save(tensors, metadata={'fingerprint': mark})
    write_atomic(path, data)
    return len(data)


def open_shard(path: Path, mark: str, where: str, hint: str, *, size: int | None = None) -> Any:
    """Memory map of a shard, or of the index of shards.

    Args:
        path: The file.
        mark: Fingerprint of the store.
        where: What to call a damaged one, for the message.
        hint: The way out.
        size: Its number of bytes, if known.

    Raises:
        FileNotFoundError, DamagedFile: it is missing, damaged, or of another store.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing; {hint}')
    if size is not None and path.stat().st_size != size:
        raise DamagedFile(f'{where}: {path.stat().st_size} bytes, not {size}; {hint}')
    with parsing(where, hint):
        shard = safe_open(path, framework='pt')
    found = (shard.metadata() or {}).get('fingerprint')
    if found != mark:
        raise DamagedFile(f'{path} is of another store (fingerprint {found}, not {mark}); {hint}')
    return shard
