"""Data whose order and augmentation depend on the place in the run, not on who loads it or when.

A batch sampler gives each index its place (epoch, number in the epoch); the data set around the
user's seeds the random generators with it before a sample is made. So neither the number of worker
processes nor what they loaded ahead matters, and a run that goes on in the middle skips indices
instead of loading samples.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_rank
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, get_worker_info

from mmclip.engine.random_states import seeded


class _Around:
    """Passes every attribute on to the object inside, so that hooks find and change it there."""

    _own: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name in self._own:
            raise AttributeError(name)
        return getattr(self.__dict__[self._own[0]], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self.__dict__[self._own[0]], name, value)

    def __deepcopy__(self, memo: dict) -> '_Around':
        """MMEngine copies the settings that it builds a loader from: not the data in them."""
        return self


class SeededDataset(_Around, Dataset):
    """A data set whose samples are drawn with a seed made of the run's seed and their place.

    Args:
        dataset: The user's data set.
        seed: Of the run.
        rank: Of the process.
    """

    _own = ('dataset', 'seed', 'rank')

    def __init__(self, *, dataset: Dataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __getitem__(self, item: int | tuple[int, int, int]) -> Any:
        if not isinstance(item, tuple):
            return self.dataset[item]
        index, epoch, number = item
        with seeded(self.seed, self.rank, epoch, number):
            return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


class SeededStream(_Around, IterableDataset):
    """The same for data sets that only stream: the place is the worker and its sample's number."""

    _own = ('dataset', 'seed', 'rank', 'passes')

    def __init__(self, *, dataset: IterableDataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank, self.passes = dataset, seed, rank, 0

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        place = (self.seed, self.rank, 0 if info is None else info.id, self.passes)
        self.passes += 1
        with seeded(*place):
            stream = iter(self.dataset)
        end = object()
        for number in itertools.count():
            with seeded(*place, number):
                sample = next(stream, end)
            if sample is end:
                return
            yield sample

    def __len__(self) -> int:
        return len(self.dataset)


class PlacedBatchSampler(_Around):
    """Batches of (index, epoch, number in the epoch) instead of indices.

    Args:
        batches: The user's batch sampler.

    Attributes:
        epoch: Of the next pass.
        start: Batches to leave out at the beginning of the next pass.
        endless: Whether leaving out goes on through the following epochs.
    """

    _own = ('batches', 'epoch', 'start', 'endless')

    def __init__(self, batches: BatchSampler) -> None:
        self.batches, self.epoch, self.start, self.endless = batches, 0, 0, False

    def next_epoch(self) -> None:
        self.epoch += 1
        if hasattr(getattr(self.batches, 'sampler', None), 'set_epoch'):
            self.batches.sampler.set_epoch(self.epoch)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        left_out, self.start = self.start, 0
        batches, number = iter(self.batches), 0
        while left_out:
            batch = next(batches, None)
            if batch is not None:
                number += len(batch)
                left_out -= 1
            elif self.endless and number:
                self.next_epoch()
                batches, number = iter(self.batches), 0
            else:
                return
        for batch in batches:
            yield [(index, self.epoch, number + i) for i, index in enumerate(batch)]
            number += len(batch)

    def __len__(self) -> int:
        return len(self.batches)


class PlacedIterator:
    """What ``IterBasedTrainLoop`` draws its batches from, without an end.

    The loop asks for every batch up to the place where it goes on and throws them away: these calls
    are answered with None, and the first real one leaves the indices out.

    Args:
        loader: With a :class:`PlacedBatchSampler`.
        start: Batches that the run has already seen.
    """

    def __init__(self, loader: DataLoader, *, start: int) -> None:
        self._loader, self._answered, self._start = loader, 0, start
        self._batches: Iterator | None = None
        loader.batch_sampler.start, loader.batch_sampler.endless = start, True

    def __iter__(self) -> 'PlacedIterator':
        return self

    def __next__(self) -> Any:
        if self._answered < self._start:
            self._answered += 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        try:
            return next(self._batches)
        except StopIteration:
            self._loader.batch_sampler.next_epoch()
            self._batches = iter(self._loader)
            return next(self._batches)


def place(dataset: Any, *, seed: int) -> SeededDataset | SeededStream:
    """The data set with samples seeded by their place."""
    kind = SeededStream if isinstance(dataset, IterableDataset) else SeededDataset
    return kind(dataset=dataset, seed=seed, rank=get_rank())
