"""The store of teacher embeddings: boxes of each image and what CLIP says about them.

A folder of

    meta.json                     teacher, crop rule, boxes, images; fingerprint of all that
    shard-00003-of-00100.safetensors
        image_ids (n,) offsets (n + 1,) boxes (R, 4) scores (R,) embeddings (R, D) half, crc (n,)
    index.safetensors             which shard and row holds an image id, and a checksum of that;
                                  written when all shards are there

Reading is random access through a memory map; :mod:`mmclip.stores.sharded` says how it is made.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmclip.io.parsing import parsing, whole_number
from mmclip.stores import sharded
from mmclip.stores.sharded import META, checksum, missing_shards, open_shard, shard_path

FORMAT = 1
INDEX = 'index.safetensors'
INDEX_TENSORS = ('image_ids', 'shards', 'rows', 'sizes')
MOST_SHARDS = 1_000_000
_MAKE = 'make it with tools/precompute_regions.py'
_AGAIN = 'delete it and run tools/precompute_regions.py again'


class Regions(NamedTuple):
    """Regions of one image.

    Attributes:
        boxes: (M, 4) float32, xyxy in the original image's pixels, best first.
        scores: (M,) float32 of the proposals, 1 where the source gives none.
        embeddings: (M, D), L2-normalized up to half precision.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    embeddings: torch.Tensor


def _index_crc(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    # A tensor, not an entry of the metadata: the order of two entries is not fixed.
    return torch.tensor([checksum(tensors[name] for name in INDEX_TENSORS)])


def write_shard(path: Path, images: dict[int, Regions], mark: str) -> int:
    """Write the regions of some images; returns the bytes.

    Args:
        images: By image id, in the order to be kept.
        mark: Fingerprint of the store.
    """
    rows = [
        Regions(r.boxes.float(), r.scores.float(), r.embeddings.half()) for r in images.values()
    ]
    counts = torch.tensor([0, *(len(r.boxes) for r in rows)])
    tensors = {
        'image_ids': torch.tensor(list(images), dtype=torch.int64),
        'offsets': counts.cumsum(0),
        'boxes': torch.cat([r.boxes for r in rows]),
        'scores': torch.cat([r.scores for r in rows]),
        'embeddings': torch.cat([r.embeddings for r in rows]),
        'crc': torch.tensor([checksum(r) for r in rows], dtype=torch.int64),
    }
    return sharded.save_shard(path, tensors, mark)


def write_meta(folder: Path, meta: dict) -> dict:
    """Write ``meta.json``, or compare with the one that is there; returns it with its fingerprint.

    Raises:
        ValueError: the folder holds a store made otherwise; the differing fields are named.
    """
    meta = {'format': FORMAT, **meta}
    meta['fingerprint'] = sharded.fingerprint(meta)
    if not (folder / META).is_file():
        sharded.write_meta(folder, meta)
        return meta
    found = sharded.differences(read_meta(folder), meta)
    if text := '; '.join(f'{name} is {a!r}, not {b!r}' for name, a, b in found):
        raise ValueError(f'{folder} holds a store made otherwise: {text}')
    return meta


def read_meta(folder: Path) -> dict:
    """Content of ``meta.json``.

    Raises:
        FileNotFoundError: no store there.
        ValueError: the file is damaged.
    """
    meta = sharded.read_meta(folder, name='region store', make=_MAKE)
    with parsing(f'{folder / META} is damaged', f'{_MAKE} again'):
        whole_number(meta['embed_dim'], 'embed_dim', least=1)
        if not 1 <= whole_number(meta['shards'], 'shards') <= MOST_SHARDS:
            raise ValueError(f'shards is {meta["shards"]}; allowed are 1 to {MOST_SHARDS}')
    return meta


def _open(path: Path, mark: str, size: int | None = None) -> Any:
    return open_shard(path, mark, f'{path} is damaged', _AGAIN, size=size)


def write_index(folder: Path, meta: dict) -> bool:
    """Write the index if all shards are there; whoever comes last does it, all write the same.

    Raises:
        ValueError: a damaged shard.
    """
    if missing_shards(folder, meta):
        return False
    total = meta['shards']
    ids, shards, rows, sizes = [], [], [], []
    for number in range(total):
        path = shard_path(folder, number, total)
        with parsing(f'{path} is damaged', _AGAIN):
            found = _open(path, meta['fingerprint']).get_tensor('image_ids')
        ids.append(found)
        shards.append(torch.full_like(found, number))
        rows.append(torch.arange(len(found)))
        sizes.append(path.stat().st_size)
    order = torch.cat(ids).argsort(stable=True)
    tensors = {'image_ids': ids, 'shards': shards, 'rows': rows}
    tensors = {name: torch.cat(parts)[order] for name, parts in tensors.items()}
    tensors['sizes'] = torch.tensor(sizes, dtype=torch.int64)
    tensors['crc'] = _index_crc(tensors)
    sharded.save_shard(folder / INDEX, tensors, meta['fingerprint'])
    for leftover in folder.glob('.*.partial-*'):  # of killed processes
        leftover.unlink(missing_ok=True)
    return True


class RegionStore:
    """Random access to a store by image id. Cheap to pickle and safe in data-loader workers.

    Args:
        folder: Made by ``tools/precompute_regions.py``.
        check: Compare the check sum of every image that is read (0.1 ms each).

    Attributes:
        meta: Content of ``meta.json``.
        embed_dim: D.

    Raises:
        FileNotFoundError: no store there, or it is not finished.
        ValueError: it is damaged.
    """

    def __init__(self, folder: str | os.PathLike, *, check: bool = True) -> None:
        self.folder = Path(folder)
        self.check = check
        self.meta = read_meta(self.folder)
        self.embed_dim = self.meta['embed_dim']
        left = missing_shards(self.folder, self.meta)
        if left or not (self.folder / INDEX).is_file():
            raise FileNotFoundError(
                f'the region store {self.folder} is not finished: {len(left)} of '
                f'{self.meta["shards"]} shards are missing (first: {left[:3]}); run the same '
                'tools/precompute_regions.py command again, it goes on where it stopped'
            )
        self._index = self._read_index()
        self._shards: dict[int, tuple] = {}

    def _read_index(self) -> dict[str, torch.Tensor]:
        path, shards = self.folder / INDEX, self.meta['shards']
        with parsing(f'{path} is damaged', _AGAIN):
            file = _open(path, self.meta['fingerprint'])
            index = {name: file.get_tensor(name) for name in file.keys()}
            lengths = {len(index[name]) for name in INDEX_TENSORS[:3]}
            if len(lengths) != 1 or len(index['sizes']) != shards:
                raise ValueError('its tensors do not fit each other')
            # Stores of earlier versions have none; `load` compares the ids of the rows.
            if 'crc' in index and not torch.equal(index.pop('crc'), _index_crc(index)):
                raise ValueError('its checksum is wrong')
        return index

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_shards': {}}

    def __len__(self) -> int:
        return len(self._index['image_ids'])

    @property
    def image_ids(self) -> torch.Tensor:
        """(N,) int64, ascending."""
        return self._index['image_ids']

    def _find(self, image_id: int) -> int | None:
        ids = self.image_ids
        place = int(torch.searchsorted(ids, int(image_id)))
        return place if place < len(ids) and int(ids[place]) == int(image_id) else None

    def __contains__(self, image_id: int) -> bool:
        return self._find(image_id) is not None

    def _shard(self, number: int) -> tuple:
        """(memory map, image ids, offsets, check sums) of a shard, opened at its first use."""
        if number not in self._shards:
            path = shard_path(self.folder, number, self.meta['shards'])
            size = int(self._index['sizes'][number])
            shard = _open(path, self.meta['fingerprint'], size)
            lists = (shard.get_tensor(name).tolist() for name in ('image_ids', 'offsets', 'crc'))
            self._shards[number] = shard, *lists
        return self._shards[number]

    def load(self, image_id: int) -> Regions:
        """Regions of one image; M is 0 for an image without proposals.

        Raises:
            ValueError: the image is not in the store, or its part of the shard is damaged.
        """
        place = self._find(image_id)
        if place is None:
            raise ValueError(
                f'image id {image_id} is not in the region store {self.folder} '
                f'({len(self)} images); {_MAKE} for the annotation file that you train on'
            )
        number, row = int(self._index['shards'][place]), int(self._index['rows'][place])
        path = shard_path(self.folder, number, self.meta['shards'])
        with parsing(f'{path} is damaged at image id {image_id}', _AGAIN):
            shard, ids, offsets, sums = self._shard(number)
            if row < 0 or ids[row] != int(image_id):
                raise ValueError(f'it, or {INDEX}, names another image there')
            return self._regions(shard, *offsets[row : row + 2], sums[row])

    def _regions(self, shard: Any, start: int, end: int, crc: int) -> Regions:
        width = self.embed_dim
        if start == end:
            half = torch.float16
            regions = Regions(torch.empty(0, 4), torch.empty(0), torch.empty(0, width, dtype=half))
        else:
            names = ('boxes', 'scores', 'embeddings')
            regions = Regions(*(shard.get_slice(name)[start:end] for name in names))
        if self.check and checksum(regions) != crc:
            raise ValueError('its check sum is wrong')
        return regions

    def check_images(self, image_ids: torch.Tensor | list[int]) -> None:
        """Raise unless every image is in the store.

        Images of the store that are not asked for do no harm: a store may serve a subset.

        Raises:
            ValueError: some are not.
        """
        wanted = torch.as_tensor(image_ids, dtype=torch.int64)
        lacking = wanted[~torch.isin(wanted, self.image_ids)]
        if len(lacking):
            raise ValueError(
                f'{len(lacking)} of {len(wanted)} images are not in the region store '
                f'{self.folder}, e.g. image ids {lacking[:3].tolist()}; {_MAKE} for the annotation '
                'file that you train on'
            )

    def check_teacher(self, *, model: str | None = None, text_hash: str | None = None) -> None:
        """Raise unless the store was made by this teacher.

        Args:
            model: Name of the CLIP.
            text_hash: Hash of the CLIP's text tower (``CLIPTextEncoder.weight_hash()``), the tower
                that the classifier's names are encoded by.

        Raises:
            ValueError: another teacher.
        """
        teacher = self.meta['teacher']
        for field, value in (('model', model), ('text_hash', text_hash)):
            if value is not None and teacher[field] != value:
                raise ValueError(
                    f'the region store {self.folder} was made by another teacher: {field} is '
                    f'{teacher[field]!r}, not {value!r}; distillation and class names must share '
                    f'one CLIP; {_MAKE} --model ... for it'
                )
