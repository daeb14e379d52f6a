"""NumPy's files, bounded by their own size: a header or a zip may claim any number of bytes."""

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

MOST_COMPRESSED = 20  # bytes out of one: weights and boxes give less than 10
SMALL = 1 << 26  # bytes that are never too many
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def unpacked_limit(path: str | os.PathLike) -> int:
    """Bytes that a compressed file may unpack to; more is a bomb, not data."""
    return max(SMALL, MOST_COMPRESSED * Path(path).stat().st_size)


def _read(stream: IO[bytes], again: IO[bytes], size: int) -> np.ndarray:
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f'is of the unknown version {version}')
    shape, _, dtype = _HEADERS[version](stream)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f'is cut off: it claims {shape} of {dtype} and holds {size} bytes')
    return npy.read_array(again, allow_pickle=False)


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of a ``.npy`` file; never runs a pickle.

    Raises:
        Exception: of any kind if it is damaged: call it within ``parsing``.
    """
    with open(path, 'rb') as stream, open(path, 'rb') as again:
        return _read(stream, again, Path(path).stat().st_size)


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file by name; never runs a pickle.

    Raises:
        Exception: of any kind if it is damaged: call it within ``parsing``.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        total, limit = sum(entry.file_size for entry in entries), unpacked_limit(path)
        if total > limit:
            raise ValueError(
                f'would unpack to {total} bytes, more than {limit}; write it by numpy.savez'
            )
        arrays = {}
        for entry in entries:
            with archive.open(entry) as stream, archive.open(entry) as again:
                name = entry.filename.removesuffix('.npy')
                if name in arrays:
                    raise ValueError(f'holds {name} twice')
                arrays[name] = _read(stream, again, entry.file_size)
    return arrays
