"""The files that ``torch.save`` and ``torch.jit.save`` write: pickles beside raw storages."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mmclip.io import tensor_builders
from mmclip.io.unpickle import Stub, TensorUnpickler, UnsafePickle
from mmclip.io.zip_files import open_zip, read_entry

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_CHUNK = 2**24


class _Bounded:
    """The reading side of a file that never asks for more than the file has."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.size = stream, size
        self.readline, self.tell = stream.readline, stream.tell

    def read(self, count: int) -> bytes:
        if count > self.size - self._stream.tell():
            raise EOFError('the file is shorter than it says')
        return self._stream.read(count)

    def unpickle(self, load_shared: Any = None, file_size: int | None = None) -> Any:
        return TensorUnpickler(
            self,
            size=self.size,
            find=tensor_builders.find,
            set_state=tensor_builders.set_state,
            load_shared=load_shared,
            file_size=file_size,
        ).load()


def _fill(data: torch.Tensor, stream: BinaryIO) -> torch.Tensor:
    """Read a tensor's bytes from a stream, with no copy of the whole beside it."""
    if data.is_meta:
        stream.seek(data.numel(), io.SEEK_CUR)
        return data
    if data.device.type != 'cpu':
        return data.copy_(_fill(torch.empty_like(data, device='cpu'), stream))
    view, done = memoryview(data.numpy()), 0
    while done < len(view):
        step = stream.readinto(view[done : done + _CHUNK])
        if not step:
            raise EOFError('a storage is cut off')
        done += step
    return data


class _Storages:
    """Resolves the persistent ids of a torch file.

    Args:
        size: Bytes of the file; all storages together cannot be longer.
        load: From (key, number of bytes) to a 1-D uint8 tensor.
    """

    def __init__(self, size: int, load: Any) -> None:
        self._left, self._load = size, load
        self.loaded: dict[str, torch.Tensor] = {}
        self.widths: dict[str, int] = {}  # bytes per element

    def __call__(self, identity: tuple) -> torch.Tensor | Stub:
        if len(identity) < 5 or identity[0] not in ('storage', b'storage'):
            raise UnsafePickle('a reference to something that is no storage')
        _, dtype, key, _, numel, *view = identity
        if isinstance(dtype, Stub):
            return Stub(dtype.path, ())  # quantized: not read
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str | int):
            raise UnsafePickle('a storage without dtype or key')
        if not tensor_builders.is_count(numel):
            raise UnsafePickle('a storage of damaged size')
        key, count = str(key), numel * dtype.itemsize
        if key not in self.loaded:
            self._left -= count
            if self._left < 0:
                raise EOFError('the storages are longer than the file')
            self.loaded[key], self.widths[key] = self._load(key, count), dtype.itemsize
        if self.loaded[key].numel() < count:
            raise UnsafePickle('a storage in two sizes')
        storage = self.loaded[key][:count].view(dtype)
        if view and view[0] is not None:  # older format: a part of the storage
            _, offset, length = view[0]
            if not tensor_builders.is_count(offset, length) or offset + length > numel:
                raise UnsafePickle('a part reaches over the end of its storage')
            storage = storage[offset : offset + length]
        return storage


class Archive:
    """A torch file since 1.6, or a TorchScript archive: a zip of a pickle and raw storages.

    Raises:
        Exception: of any kind if the file is damaged, or none that torch writes.
    """

    def __init__(self, path: Path) -> None:
        self._zip, self._size = open_zip(path), path.stat().st_size
        names = self._zip.namelist()
        self._root = names[0].split('/')[0] if names else ''
        if f'{self._root}/data.pkl' not in names:
            raise ValueError('a zip archive that torch did not write')
        unpacked = 0
        for info in self._zip.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                unpacked += info.file_size
                if not info.filename.startswith(f'{self._root}/code/'):
                    raise ValueError(
                        f'{info.filename} is compressed, which torch never does: unpack the file '
                        'and pack it without compression (zip -0)'
                    )
        if unpacked > 8 * self._size + 2**20:
            raise ValueError('its code unfolds into far more than its own size')
        self._kept: dict[str, dict[str, set[str]]] = {}

    def _text(self, name: str) -> bytes | None:
        try:
            info = self._zip.getinfo(f'{self._root}/{name}')
        except KeyError:
            return None
        return read_entry(self._zip, info)

    def read(self, device: str | torch.device = 'cpu') -> Any:
        """The content, with its tensors on a device; on ``meta`` no storage is read."""
        if self._text('byteorder') not in (None, b'little'):
            raise ValueError('it was written on a big-endian machine')

        def load(key: str, count: int) -> torch.Tensor:
            info = self._zip.getinfo(f'{self._root}/data/{key}')
            if info.file_size < count:
                raise ValueError(f'storage {key} is cut off')
            data = torch.empty(info.file_size, dtype=torch.uint8, device=device)
            if data.is_meta:
                return data
            with self._zip.open(info) as stream:
                return _fill(data, stream)

        data = self._text('data.pkl')
        stream = _Bounded(io.BytesIO(data), len(data))
        return stream.unpickle(_Storages(self._size, load), self._size)

    def verify(self) -> None:
        """Compare every entry with its check sum."""
        broken = self._zip.testzip()
        if broken:
            raise ValueError(f'the check sum of {broken} is wrong')

    def state_names(self, module: str) -> set[str] | None:
        """Parameters and buffers of a TorchScript class, None if its code is not there."""
        folder, _, name = module.rpartition('.')
        entry = f'code/{folder.replace(".", "/")}.py'
        if entry not in self._kept:  # 'a.b' and 'a/b' are one entry, which is read once
            code = self._text(entry) or b''
            classes: dict[str, set[str]] = {}
            for header, lists in re.findall(
                r'^class (\w+)\(Module\):\n((?:  __(?:parameters|buffers)__ = .*\n)+)',
                code.decode(),
                re.MULTILINE,
            ):
                classes[header] = set(re.findall(r'"([^"]*)"', lists))
            self._kept[entry] = classes
        return self._kept[entry].get(name)


def read_legacy(path: Path, device: str | torch.device = 'cpu') -> Any:
    """Files of torch < 1.6: three header pickles, the object, the storage keys, the storages.

    Args:
        path: The file, or one of a single pickle.
        device: Where the tensors go; on ``meta`` no storage is read.
    """
    size = path.stat().st_size
    with path.open('rb') as stream:
        source = _Bounded(stream, size)
        first = source.unpickle()
        if type(first) is not int or first != _LEGACY_MAGIC:
            if stream.read(1):
                raise ValueError('neither a torch file nor a single pickle')
            return first
        source.unpickle()  # protocol version
        if source.unpickle().get('little_endian') is False:
            raise ValueError('it was written on a big-endian machine')
        storages = _Storages(
            size, lambda key, count: torch.empty(count, dtype=torch.uint8, device=device)
        )
        result = source.unpickle(storages)
        missing, widths = set(storages.loaded), storages.widths
        for key in source.unpickle():
            storage = storages.loaded.get(str(key)) if isinstance(key, str | int) else None
            if storage is None:
                raise ValueError('a storage of a kind that is not read, e.g. quantized')
            numel = int.from_bytes(source.read(8), 'little')
            if numel * widths[str(key)] != storage.numel():
                raise ValueError('a storage of another size than announced')
            _fill(storage, stream)
            missing.discard(str(key))
        if missing or stream.tell() > size:
            raise EOFError('a storage is missing or cut off')
        return result
