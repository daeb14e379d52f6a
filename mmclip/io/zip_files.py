"""Zip archives in which there is one way to read every entry.

A zip file says most things twice, in the entry and in the directory at its end, and readers differ
in which they believe: Python's ``zipfile`` and the miniz in torch may see other bytes in one file.
Here both must say the same, the entries must not overlap, and what torch and ``zipfile`` never
write is refused. So what is read is no larger than the file, but for compressed entries.
"""

import struct
import zipfile
from pathlib import Path

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
# general purpose flags: how hard it was compressed (2, 4), sizes follow the data (8), UTF-8 (0x800)
_FLAGS = 0x80E
_SIZES_FOLLOW = 8
_DOS_FOLDER = 0x10
_IN_64_BITS = 0xFFFFFFFF


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive after its headers have been compared.

    Raises:
        ValueError: two readers may read it differently.
        Exception: of other kinds if it is damaged.
    """
    archive = zipfile.ZipFile(path)
    try:
        with path.open('rb') as stream:
            start = _directory(stream, path.stat().st_size, len(archive.filelist))
            names = set()
            entries = sorted(archive.filelist, key=lambda info: info.header_offset)
            ends = [info.header_offset for info in entries[1:]] + [start]
            for info, end in zip(entries, ends, strict=True):
                _check_entry(stream, info, end)
                # torch finds its own entries whatever their case
                name = info.filename if '/code/' in info.filename else info.filename.lower()
                if name in names:
                    raise ValueError(f'two entries are called {info.filename}')
                names.add(name)
    except BaseException:
        archive.close()
        raise
    return archive


def _directory(stream, size: int, count: int) -> int:
    """Where the directory at the end of the archive starts."""
    stream.seek(max(0, size - 98))
    tail = stream.read(98).rjust(98)
    magic, disk, first_disk, here, total, length, start, comment = struct.unpack(
        '<4s4H2LH', tail[76:]
    )
    if magic != b'PK\5\6' or comment or disk or first_disk or here != total:
        raise ValueError('the archive does not end with its directory')
    end = size - 22
    if tail[56:60] == b'PK\6\7':
        end = size - 98
        magic, record, *_, disk, first_disk, here, large_total, large_length, large_start = (
            struct.unpack('<4sQ2H2L4Q', tail[:56])
        )
        if (magic, record, disk, first_disk, here) != (b'PK\6\6', 44, 0, 0, large_total):
            raise ValueError('the archive does not end with its directory')
        if struct.unpack('<4sLQL', tail[56:76]) != (b'PK\6\7', 0, end, 1):
            raise ValueError('the archive does not end with its directory')
        for small, large, limit in (
            (total, large_total, 0xFFFF),
            (length, large_length, _IN_64_BITS),
            (start, large_start, _IN_64_BITS),
        ):
            if small not in (large, limit):
                raise ValueError('the archive has two directories')
        total, length, start = large_total, large_length, large_start
    stream.seek(start)
    directory, position = stream.read(length), 0
    while position + 46 <= length:  # name, extra field and comment follow each entry
        position += 46 + sum(struct.unpack_from('<3H', directory, position + 28))
    if total != count or start + length != end or position != length:
        raise ValueError('the directory of the archive is of another size')
    return start


def _check_entry(stream, info: zipfile.ZipInfo, end: int) -> None:
    """Compare an entry's own header with the directory's, and its place with the next one's."""
    name = info.filename
    if info.filename != info.orig_filename or name.endswith('/'):
        raise ValueError(f'the entry {name!r} is no file')
    if info.external_attr & _DOS_FOLDER or info.volume or info.flag_bits & ~_FLAGS:
        raise ValueError(f'the entry {name} is marked as a folder, encrypted or in another file')
    if info.compress_type not in (_STORED, _DEFLATED):
        raise ValueError(f'the entry {name} is compressed in an unknown way')
    stream.seek(info.header_offset)
    header = stream.read(30)
    magic, _, flags, method, _, _, crc, packed, unpacked, name_length, extra = struct.unpack(
        '<4s5H3L2H', header
    )
    own_name = stream.read(name_length).decode('utf-8' if flags & 0x800 else 'cp437')
    if (magic, flags, method, own_name) != (
        b'PK\3\4',
        info.flag_bits,
        info.compress_type,
        info.orig_filename,
    ):
        raise ValueError(f'the entry {name} is another one than the directory says')
    said = (info.CRC, info.compress_size, info.file_size)
    for own, other in zip((crc, packed, unpacked), said, strict=True):
        if own != other and own != _IN_64_BITS and not (flags & _SIZES_FOLLOW and own == 0):
            raise ValueError(f'the entry {name} is of another size than the directory says')
    if method == _STORED and info.compress_size != info.file_size:
        raise ValueError(f'the entry {name} has two sizes')
    if info.header_offset + 30 + name_length + extra + info.compress_size > end:
        raise ValueError(f'the entry {name} reaches into the next one')


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """An entry's bytes, never more than its header says."""
    with archive.open(info) as stream:
        data = stream.read(info.file_size)
        if len(data) != info.file_size:
            raise EOFError(f'the entry {info.filename} is cut off')
        return data
