"""Image-text pairs that stream from WebDataset shards."""

import os
import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import webdataset as wds
from mmengine.dataset import Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset
from webdataset.utils import pytorch_worker_info

from mmclip.datasets.shard_sampler import Place
from mmclip.io.braces import expand_braces
from mmclip.io.image import open_image
from mmclip.io.shards import read_samples
from mmclip.registry import DATASETS

BROKEN_IN_A_ROW = 1000


@DATASETS.register_module()
class CaptionShards(Dataset):
    """Images with captions from tar files in WebDataset's layout (``key.jpg``, ``key.txt``).

    The shards are shuffled anew in each epoch, split among processes and then among workers, read
    one after the other, and the samples go through a shuffle buffer. A worker that comes to the
    end of its shards starts over in a new order, so an epoch has the length that is asked for.

    MMEngine's Runner wants a length and a sampler, which an iterable dataset has not. So this one
    answers ``dataset[place]`` with the **next** sample of its stream, and ``mmclip.ShardSampler``
    counts; batch size, number of workers, epochs and seeds are set where they always are. The order
    of the samples depends on the seed, the epoch, the number of processes and of workers. Asked by
    plain indices, as in datasets that join several, it takes seed and epoch from
    ``mmclip.ExactResumeHook``.

    Args:
        shards: Paths or addresses, with braces (``'cc3m/{00000..00331}.tar'``), or a list of such.
        epoch_size: Samples per epoch over all processes.
        pipeline: Transforms; they get ``img`` (a Pillow image), ``text``, ``img_path`` (its name).
        shuffle: Samples in the shuffle buffer of each worker, 0 for none.
        image_keys: Endings of images, the first that a sample has is taken.
        text_key: Ending of the caption.

    Raises:
        FileNotFoundError: a local shard is missing.
        ValueError: ``epoch_size`` is not positive; fewer shards than readers; nothing is readable.
    """

    def __init__(
        self,
        *,
        shards: str | Sequence[str],
        epoch_size: int,
        pipeline: Sequence[dict] = (),
        shuffle: int = 1000,
        image_keys: Sequence[str] = ('jpg', 'jpeg', 'png', 'webp'),
        text_key: str = 'txt',
    ) -> None:
        if epoch_size < 1:
            raise ValueError(f'epoch_size: {epoch_size}; allowed are positive numbers')
        self.shards = expand_shards(shards)
        self.epoch_size = epoch_size
        self.pipeline = Compose(list(pipeline))
        self.shuffle = shuffle
        self.image_keys = tuple(image_keys)
        self.text_key = text_key
        self.skipped = 0
        self._damaged: set[str] = set()  # shards of which the log tells
        self._stream: Iterator[dict] | None = None
        self._order: tuple[int, int] | None = None
        self._given: tuple[int, int] | None = None
        self._reader: int | None = None  # process whose share the stream is
        self._owed = 0  # samples of the stream that were left out and are still to be read

    # Says to mmclip.ExactResumeHook that a sample comes by its turn, not by its index.
    answers_in_order = True

    @property
    def metainfo(self) -> dict:
        return {}

    def __len__(self) -> int:
        return self.epoch_size

    def __getitem__(self, place: Place | int) -> dict:
        """The next sample; a new seed or epoch in ``place`` starts the stream anew."""
        self._turn_to(place)
        for _ in range(self._owed):
            self._next()
        self._owed = 0
        return self.pipeline(self._next())

    def set_order(self, seed: int, epoch: int) -> None:
        """What decides the order for places that are plain indices."""
        self._given = seed, epoch

    def skip(self, place: Place | int) -> None:
        """Leave a sample out; nothing is read before the next one that is not left out."""
        self._turn_to(place)
        self._owed += 1

    def _turn_to(self, place: Place | int) -> None:
        if isinstance(place, Place):
            order = place.seed, place.epoch
        else:
            order = self._given or self._order or (0, 0)
        # A worker that was forked from a process which has read must not go on with its stream.
        if order != self._order or self._reader != os.getpid():
            self._stream, self._order, self._owed = self._samples(*order), order, 0
            self._reader = os.getpid()

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_stream': None, '_reader': None}

    def _next(self) -> dict:
        for _ in range(BROKEN_IN_A_ROW):
            sample = next(self._stream)
            try:
                return self._decode(sample)
            except Exception as error:  # whatever a damaged image makes its decoder raise
                self._count_broken(error, f'{sample["__url__"]}: {sample["__key__"]}')
        raise ValueError(f'shards: {BROKEN_IN_A_ROW} samples in a row cannot be read, see the log')

    def _decode(self, sample: dict) -> dict:
        key = next((key for key in self.image_keys if key in sample), None)
        if key is None or self.text_key not in sample:
            raise ValueError(f'needs one of {self.image_keys} and {self.text_key!r}')
        name = f'{sample["__url__"]}/{sample["__key__"]}.{key}'
        image = open_image(sample[key], name=name)
        text = sample[self.text_key].decode().strip()
        if not text:
            raise ValueError('its text is empty')
        shape = (image.height, image.width)
        return dict(img=image, text=text, img_path=name, img_shape=shape, ori_shape=shape)

    def _count_broken(self, error: Exception, where: str = '') -> bool:
        """Count what cannot be read; say so at the 1st, 2nd, 4th, 8th ... time, of shards once."""
        self.skipped += 1
        shard = getattr(error, 'shard', None)
        if shard is None:
            said = self.skipped & (self.skipped - 1) == 0
        else:
            said, where = shard not in self._damaged, shard
            self._damaged.add(shard)
        if said:
            print_log(
                f'{self.skipped} broken samples or shards skipped so far by this reader, the last: '
                f'{where or error.args[-1:]} {type(error).__name__}: {error}',
                'current',
                level=30,
            )
        return True

    def _samples(self, seed: int, epoch: int) -> Iterator[dict]:
        """Raw samples of this process's and worker's share, for ever."""
        rank, world_size, worker, workers = pytorch_worker_info()
        if len(self.shards) < world_size * workers:
            raise ValueError(
                f'shards: {len(self.shards)} are too few for {world_size} processes with {workers} '
                'workers each; lower num_workers or write more and smaller shards'
            )
        rng = random.Random(f'{seed} {epoch} {rank} {worker}')
        for turn in count():
            # The same order in every process and worker, each of which takes its share.
            stages = [
                wds.SimpleShardList(self.shards, seed=f'{seed} {epoch} {turn}'),
                wds.split_by_node,
                wds.split_by_worker,
                partial(read_samples, handler=self._count_broken),
            ]
            if self.shuffle:
                stages.append(wds.shuffle(self.shuffle, initial=self.shuffle, rng=rng))
            read = 0
            for read, sample in enumerate(wds.DataPipeline(*stages), 1):  # noqa: B007
                yield sample
            if not read:
                raise ValueError(f'shards: no sample in those of process {rank}, see the log')


def expand_shards(shards: str | Sequence[str]) -> list[str]:
    """Addresses of shards with their braces expanded.

    Raises:
        ValueError: there is none, or more than :data:`mmclip.io.braces.MAX_SHARDS`.
        FileNotFoundError: a local one is missing.
    """
    patterns = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    found = [url for pattern in patterns for url in expand_braces(str(pattern))]
    if not found:
        raise ValueError(f'shards: {shards!r} names no shard')
    for url in found:
        if ':' not in url and not Path(url).is_file():
            raise FileNotFoundError(
                f'shards: {url} does not exist; `python tools/make_mini_world.py` makes '
                "MiniWorld's, docs/en/datasets.md says where others come from"
            )
    return found
