"""PCD, the point cloud files of PCL: ascii, binary and binary_compressed."""

import io
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mmclip.io.ply_file import packed_points
from mmclip.io.point_text import read_table

_LONGEST_HEADER = 1 << 16  # bytes
_MOST_COMPRESSED = 100  # LZF makes at most 264 bytes of 3
_KEYS = ('FIELDS', 'SIZE', 'TYPE', 'DATA')


def _read_header(stream: BinaryIO) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    while 'DATA' not in header:
        line = stream.readline(_LONGEST_HEADER)
        if not line or stream.tell() > _LONGEST_HEADER:
            raise ValueError("is no PCD file or is cut off: its header has no 'DATA'")
        words = line.decode('latin-1').split()
        if words and not words[0].startswith('#'):
            header[words[0].upper()] = words[1:]
    missing = [key for key in _KEYS if not header.get(key)]
    if missing or not (header.get('POINTS') or header.get('WIDTH')):
        raise ValueError(f'has no header line {(missing or ["POINTS"])[0]}')
    return header


def _count_of(header: dict[str, list[str]]) -> int:
    """Number of points: ``POINTS``, else ``WIDTH`` times ``HEIGHT``."""
    if header.get('POINTS'):
        return int(header['POINTS'][0])
    return int(header['WIDTH'][0]) * int((header.get('HEIGHT') or ['1'])[0])


def _fields(header: dict[str, list[str]]) -> tuple[list[tuple], list[int]]:
    """NumPy's description of a row, and the number of columns of each field."""
    names, sizes, kinds = (header[key] for key in ('FIELDS', 'SIZE', 'TYPE'))
    counts = [int(word) for word in header.get('COUNT') or ['1'] * len(names)]
    if not len(names) == len(sizes) == len(kinds) == len(counts) or min(counts) < 1:
        raise ValueError('has FIELDS, SIZE, TYPE and COUNT of different lengths')
    rows = []
    for index, (name, size, kind, count) in enumerate(
        zip(names, sizes, kinds, counts, strict=True)
    ):
        if kind not in 'FIU' or size not in ('1', '2', '4', '8') or kind + size in ('F1', 'F2'):
            raise ValueError(f'has a field {name} of the unknown type {kind}{size}')
        single = name in ('x', 'y', 'z') and count == 1
        # Padding is called '_', perhaps more than once.
        rows.append(
            (
                name if single else f'{index}:{name}',
                f'<{kind.lower()}{size}',
                (count,) * (not single),
            )
        )
    own = [name for name, *_ in rows]
    if any(own.count(axis) != 1 for axis in 'xyz'):
        raise ValueError(f'has the fields {" ".join(names)}; x, y and z are needed once each')
    return rows, counts


def read_pcd_points(path: Path, size: int) -> np.ndarray:
    """xyz of a PCD file, (N, 3), float32 or float64; other fields are skipped.

    Args:
        path: The file.
        size: Its bytes.

    Raises:
        ValueError: no PCD file, cut off, or without x, y and z.
    """
    with path.open('rb') as stream:
        header = _read_header(stream)
        count, (rows, counts) = _count_of(header), _fields(header)
        layout, start = header['DATA'][0].lower(), stream.tell()
        kinds = np.dtype(rows)
        if count < 0 or (layout == 'ascii' and 2 * sum(counts) * count > size - start + 1):
            raise ValueError(f'is cut off: it announces {count} points in {size} bytes')
        if layout == 'ascii':
            offsets = np.cumsum([0, *counts])
            names = [name for name, *_ in rows]
            columns = [int(offsets[names.index(axis)]) for axis in 'xyz']
            return read_table(io.TextIOWrapper(stream, 'ascii'), columns, count=count)
        if layout == 'binary':
            return packed_points(path, kinds, count, start, size)
        if layout != 'binary_compressed':
            raise ValueError(f'has DATA {layout}; allowed are ascii, binary, binary_compressed')
        packed, unpacked = struct.unpack('<2I', stream.read(8))
        if unpacked != count * kinds.itemsize:
            raise ValueError(f'announces {count} points and {unpacked} bytes, which do not agree')
        if packed > size - start - 8 or unpacked > _MOST_COMPRESSED * packed + 264:
            raise ValueError(f'is cut off: it announces {packed} of its {size} bytes of data')
        data = lzf_decompress(stream.read(packed), unpacked)
    # Field by field instead of point by point.
    points, offset = np.empty((count, 3), np.float64), 0
    for name, kind, shape in rows:
        number = count * (shape[0] if shape else 1)
        if name in ('x', 'y', 'z'):
            points[:, 'xyz'.index(name)] = np.frombuffer(data, kind, number, offset)
        offset += number * np.dtype(kind).itemsize
    return points


def lzf_decompress(data: bytes, length: int) -> bytes:
    """Decompress a block of LibLZF.

    A control byte below 32 announces so many literal bytes and one more; else its upper three bits
    are a length less 2 (7: a byte more is added), its lower five the upper part of a distance, the
    next byte the lower one, less 1.

    Args:
        data: The block.
        length: Bytes that it must give.

    Raises:
        ValueError: it gives another number, or points before its start.
    """
    out, position = bytearray(), 0
    try:
        while position < len(data):
            control = data[position]
            position += 1
            if control < 32:
                literal = data[position : position + control + 1]
                if len(literal) != control + 1:
                    raise IndexError
                out += literal
                position += control + 1
            else:
                run = control >> 5
                if run == 7:
                    run += data[position]
                    position += 1
                run += 2
                distance = ((control & 31) << 8) + data[position] + 1
                position += 1
                if distance > len(out):
                    raise IndexError
                if distance >= run:
                    begin = len(out) - distance
                    out += out[begin : begin + run]
                else:  # it repeats what it has just written
                    out += (bytes(out[-distance:]) * (run // distance + 1))[:run]
            if len(out) > length:
                raise IndexError
    except IndexError:
        raise ValueError('has compressed data that are damaged') from None
    if len(out) != length:
        raise ValueError(f'has compressed data of {len(out)} bytes, {length} are announced')
    return bytes(out)
