"""Vectors of videos on disk, made by any number of processes, and read block by block.

A folder of

    meta.json                     weights, model, sampling, number of videos, shards; fingerprint
    names.txt                     a video per line, in the order of the rows
    shard-00003-of-00100.safetensors
        embeddings (n, D), L2-normalized; frames (n,) int32, 0 of a video that cannot be read;
        crc (1,) of both

:mod:`mmclip.stores.sharded` says how it is made.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from mmclip.io.parsing import DamagedFile, parsing, whole_number
from mmclip.stores import sharded
from mmclip.stores.sharded import META, checksum, missing_shards, open_shard, shard_path

FORMAT = 2
NAMES = 'names.txt'
DTYPES = {'float32': torch.float32, 'float16': torch.float16}
_MAKE = 'make it with tools/extract_video_features.py'


def open_store(folder: Path, names: Sequence[str], meta: dict, *, per_shard: int) -> dict:
    """Begin a store, or go on with it; returns the whole ``meta``.

    Args:
        folder: Made if it is not there.
        names: Of all videos.
        meta: What tells the vectors apart: ``weights``, ``model``, ``dtype``, ``sampling`` ...; and
            ``embed_dim``.
        per_shard: Videos per shard.

    Raises:
        ValueError: no video, names with a line break, or the folder holds another store.
    """
    if not names:
        raise ValueError('videos: there is none')
    if any(set(name) & set('\r\n') for name in names):
        raise ValueError('videos: a name has a line break')
    text = ''.join(f'{name}\n' for name in names)
    whole = dict(
        format=FORMAT,
        videos=len(names),
        names=hashlib.sha256(text.encode()).hexdigest()[:16],
        per_shard=per_shard,
        shards=-(-len(names) // per_shard),
        **meta,
    )
    whole['fingerprint'] = sharded.fingerprint(whole)
    if (folder / META).is_file():
        found = _read_meta(folder)
        if differ := ', '.join(name for name, *_ in sharded.differences(found, whole)):
            raise ValueError(f'out: {folder} holds a store of other {differ}; give another folder')
        return found
    folder.mkdir(parents=True, exist_ok=True)
    sharded.write_atomic(folder / NAMES, text.encode())
    sharded.write_meta(folder, whole)
    return whole


def _read_meta(folder: Path) -> dict:
    keys = ('videos', 'per_shard', 'dtype', 'names')
    meta = sharded.read_meta(folder, name='store of videos', make=_MAKE, keys=keys)
    if meta.get('format') != FORMAT:
        raise ValueError(f'store: {folder / META} is of another version; {_MAKE} again')
    with parsing(f'store: {folder / META} is damaged'):
        videos, shard = (whole_number(meta[k], k, least=1) for k in ('videos', 'per_shard'))
        whole_number(meta['embed_dim'], 'embed_dim', least=1)
        if meta['shards'] != -(-videos // shard) or meta['dtype'] not in DTYPES:
            raise ValueError('shards, videos, per_shard and dtype do not fit each other')
    return meta


def write_shard(
    folder: Path, meta: dict, number: int, embeddings: torch.Tensor, frames: torch.Tensor
) -> None:
    """Write one shard: (n, D) vectors and the (n,) numbers of frames that they were made of."""
    tensors = dict(
        embeddings=embeddings.to('cpu', DTYPES[meta['dtype']]).contiguous(),
        frames=frames.to('cpu', torch.int32),
    )
    tensors['crc'] = torch.tensor([checksum([tensors['frames'], tensors['embeddings']])])
    path = shard_path(folder, number, meta['shards'])
    sharded.save_shard(path, tensors, meta['fingerprint'])


def fill_store(
    folder: Path,
    meta: dict,
    encode: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]],
    *,
    place: tuple[int, int] = (0, 1),
    report: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Make this process's missing shards; shard i belongs to process i mod all.

    Args:
        folder, meta: From :func:`open_store`.
        encode: From the first and last row of a shard to its vectors and numbers of frames.
        place: Number of this process and number of all.
        report: Called after every shard with its videos and those of them that had no frame.
    """
    for number in missing_shards(folder, meta):
        if number % place[1] != place[0]:
            continue
        start = number * meta['per_shard']
        embeddings, frames = encode(start, min(start + meta['per_shard'], meta['videos']))
        write_shard(folder, meta, number, embeddings, frames)
        report(len(frames), int((frames == 0).sum()))


class FeatureStore:
    """A finished store, of which no more than a block is in memory.

    Args:
        folder: Of :func:`open_store`.

    Raises:
        FileNotFoundError: no store, or shards are missing.
        ValueError: a damaged one.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.meta = _read_meta(self.folder)
        text = self._names()  # first: a number of shards beyond their number is not looked for
        missing = missing_shards(self.folder, self.meta)
        if missing:
            raise FileNotFoundError(
                f'store: {self.folder} lacks {len(missing)} of {self.meta["shards"]} shards; run '
                'tools/extract_video_features.py again, it goes on'
            )
        self.names = text.split('\n')[:-1]

    def _names(self) -> str:
        path = self.folder / NAMES
        with parsing(f'store: {path}', 'make the store again'):
            data = path.read_bytes()
            if data.count(b'\n') != self.meta['videos']:
                raise ValueError(f'has {data.count(bytes([10]))} lines')
            if hashlib.sha256(data).hexdigest()[:16] != self.meta['names']:
                raise ValueError('was changed')
            return data.decode()

    def __len__(self) -> int:
        return self.meta['videos']

    def blocks(self, rows: int = 65536) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """First row, vectors (n, D) float32 and has-frames (n,) bool of at most so many videos.

        Raises:
            ValueError: a shard is damaged or of another store.
        """
        start = 0
        for number in range(self.meta['shards']):
            path = shard_path(self.folder, number, self.meta['shards'])
            for part, has_frames in self._shard(path, number, rows):
                yield start, part, has_frames
                start += len(part)

    def _shard(
        self, path: Path, number: int, rows: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Vectors and has-frames, block by block; the checksum is compared behind the last one."""
        where, hint = f'store: {path}', 'it is damaged: delete it and go on'
        size = min(self.meta['per_shard'], len(self) - number * self.meta['per_shard'])
        shard = open_shard(path, self.meta['fingerprint'], where, hint)
        with parsing(where, hint):
            vectors, frames = shard.get_slice('embeddings'), shard.get_tensor('frames')
            shape = vectors.get_shape()
            if shape != [size, self.meta['embed_dim']] or frames.shape != (size,):
                raise ValueError(f'it holds vectors {shape} of {len(frames)} videos, not of {size}')
            crc = checksum([frames])
            # Shards of earlier versions have none.
            wanted = int(shard.get_tensor('crc')) if 'crc' in shard.keys() else None
        for first in range(0, size, rows):
            with parsing(where, hint):
                part = vectors[first : first + rows]
                crc = checksum([part], crc)
            yield part.float(), frames[first : first + rows] > 0
        if wanted not in (None, crc):
            raise DamagedFile(f'{where}: its checksum is wrong; {hint}')
