"""PLY point sets: the vertices of an ascii or binary file."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mmclip.io.point_text import read_table

_TYPES = {
    **dict(char='i1', uchar='u1', short='i2', ushort='u2', int='i4', uint='u4'),
    **dict(float='f4', double='f8', int8='i1', uint8='u1', int16='i2', uint16='u2'),
    **dict(int32='i4', uint32='u4', int64='i8', uint64='u8', float32='f4', float64='f8'),
}
_ORDERS = {'ascii': '', 'binary_little_endian': '<', 'binary_big_endian': '>'}
_LONGEST_HEADER = 1 << 20  # bytes


@dataclass
class Element:
    """A PLY element: name, number of rows, and (name, type, whether it is a list) per property."""

    name: str
    count: int
    properties: list[tuple[str, str, bool]]

    @property
    def has_list(self) -> bool:
        return any(is_list for *_, is_list in self.properties)

    def least_bytes(self, ascii: bool) -> int:
        """What the rows take up at least; a list has its length at least."""
        if ascii:
            return 2 * len(self.properties) * self.count
        return sum(np.dtype(kind).itemsize for _, kind, _ in self.properties) * self.count


def read_ply_header(stream: BinaryIO, size: int) -> tuple[str, list[Element]]:
    """Byte order (empty for ascii) and elements; the stream stands at the data afterwards.

    Args:
        stream: The file, at its start.
        size: Its bytes, with which the announced rows are compared.

    Raises:
        ValueError: no PLY header; more rows than the file can hold.
    """
    if stream.readline(_LONGEST_HEADER).strip() != b'ply':
        raise ValueError("is no PLY file: its first line is not 'ply'")
    order, elements = None, []
    while True:
        line = stream.readline(_LONGEST_HEADER)
        if not line or stream.tell() > _LONGEST_HEADER:
            raise ValueError("is cut off: its header has no 'end_header'")
        words = line.decode('latin-1').split()
        if words == ['end_header']:
            break
        if not words or words[0] in ('comment', 'obj_info'):
            continue
        if words[0] == 'format' and len(words) > 1 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif words[0] == 'element' and len(words) == 3 and words[2].isdigit():
            elements.append(Element(words[1], int(words[2]), []))
        elif words[0] == 'property' and elements and _is_property(words):
            # Of a list, the type of its length: what it takes up at least.
            elements[-1].properties.append(
                (words[-1], _TYPES[words[-2 - (len(words) == 5)]], len(words) == 5)
            )
        else:
            raise ValueError(f'has the header line {line[:60]!r}, which is not understood')
    if order is None:
        raise ValueError(f"has no header line 'format', one of {', '.join(_ORDERS)}")
    needed = sum(element.least_bytes(order == '') for element in elements)
    if needed > size - stream.tell() + 1:
        counts = ', '.join(f'{element.count} {element.name}' for element in elements)
        raise ValueError(f'is cut off: it announces {counts}, at least {needed} bytes, in {size}')
    return order, elements


def _is_property(words: list[str]) -> bool:
    types = words[2:4] if words[1:2] == ['list'] else words[1:2]
    return len(words) == 2 + len(types) + (len(types) == 2) and all(t in _TYPES for t in types)


def read_ply_points(path: Path, size: int) -> np.ndarray | None:
    """xyz of a PLY file without faces, float64 or float32 (N, 3); None if it is a mesh.

    Colors, normals and other properties are skipped.

    Args:
        path: The file.
        size: Its bytes.

    Raises:
        ValueError: no PLY file, cut off, or without vertices that have x, y and z.
    """
    with path.open('rb') as stream:
        order, elements = read_ply_header(stream, size)
        by_name = {element.name: element for element in elements}
        if any(by_name[n].count for n in ('face', 'tristrips') if n in by_name):
            rows = sum(element.count for element in elements)
            if not order and sum(1 for line in stream if line.strip()) < rows:
                raise ValueError(f'is cut off: it announces {rows} rows and has fewer lines')
            return None
        if 'vertex' not in by_name:
            raise ValueError(f'has no vertices; its elements are {", ".join(by_name) or "none"}')
        vertex = by_name['vertex']
        before = elements[: elements.index(vertex)]
        names = [name for name, *_ in vertex.properties]
        if not {'x', 'y', 'z'} <= set(names):
            raise ValueError(f'has vertices without x, y and z: {", ".join(names) or "nothing"}')
        if vertex.has_list or (order and any(e.has_list and e.count for e in before)):
            raise ValueError('has lists among or before its vertices; write plain points')
        if not order:
            text = io.TextIOWrapper(stream, encoding='ascii', errors='strict')
            for _ in range(sum(element.count for element in before)):
                text.readline()
            return read_table(text, [names.index(axis) for axis in 'xyz'], count=vertex.count)
        if len(set(names)) != len(names):
            raise ValueError('has vertices with two properties of one name')
        start = stream.tell() + sum(element.least_bytes(False) for element in before)
    kinds = np.dtype([(name, order + kind) for name, kind, _ in vertex.properties])
    return packed_points(path, kinds, vertex.count, start, size)


def packed_points(path: Path, kinds: np.dtype, count: int, start: int, size: int) -> np.ndarray:
    """xyz of packed binary rows, (N, 3); rows are mapped, so only xyz take up memory.

    Args:
        path: The file.
        kinds: Types of a row with fields ``x``, ``y`` and ``z``.
        count: Rows N.
        start: Offset of the first one in bytes.
        size: Bytes of the file.

    Raises:
        ValueError: the file ends before the last row.
    """
    if start + count * kinds.itemsize > size:
        raise ValueError(f'is cut off: {count} points end behind its {size} bytes')
    if not count:
        return np.empty((0, 3))
    rows = np.memmap(path, kinds, 'r', start, (count,))
    points = np.empty((count, 3), np.result_type(*(kinds[axis] for axis in 'xyz'), np.float32))
    for column, axis in enumerate('xyz'):
        points[:, column] = rows[axis]
    return points
