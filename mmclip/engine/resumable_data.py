"""Data whose order and augmentation depend on the place in the run, not on who loads it or when.

A batch sampler gives each index its place (epoch, number in the epoch); the dataset around the
user's seeds the random generators with it before a sample is made. So neither the number of worker
processes nor what they loaded ahead matters, and a run that goes on in the middle skips indices
instead of loading samples.

A dataset that answers in the order in which it is asked (a stream behind indices) says so by
``answers_in_order = True``. It is asked again for what a run has seen, or, if it has a method
``skip(index)``, told to leave that out. A method ``set_order(seed, epoch)`` hears the seed of the
run and the epoch before each. It may lie in datasets that join or repeat others.
"""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
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


class Slot(NamedTuple):
    """An index of the user's dataset with its place.

    Attributes:
        index: What the user's sampler gave.
        epoch: Of the sampler.
        number: Of the sample in the epoch, within this process.
        seen: Asked for only to bring a dataset that answers in order to where it was.
    """

    index: Any
    epoch: int
    number: int
    seen: bool


_SEEN = object()
REPEATING = (RepeatDataset, ClassBalancedDataset)


def answering(dataset: Any, index: Any) -> tuple[Any, Any]:
    """The dataset that answers for an index of datasets joined or repeated, and its own index."""
    while isinstance(dataset, (ConcatDataset, *REPEATING)):
        place = dataset._get_ori_dataset_idx(index)
        if isinstance(dataset, ConcatDataset):
            dataset, index = dataset.datasets[place[0]], place[1]
        else:
            dataset, index = dataset.dataset, place
    return dataset, index


def answers_in_order(dataset: Any) -> bool:
    """Whether a dataset, or one in it, answers in the order in which it is asked."""
    if isinstance(dataset, ConcatDataset):
        return any(map(answers_in_order, dataset.datasets))
    if isinstance(dataset, REPEATING):
        return answers_in_order(dataset.dataset)
    return getattr(dataset, 'answers_in_order', False)


class SeededDataset(_Around, Dataset):
    """A dataset whose samples are drawn with a seed made of the run's seed and their place.

    Args:
        dataset: The user's dataset.
        seed: Of the run.
        rank: Of the process.
    """

    _own = ('dataset', 'seed', 'rank')

    def __init__(self, *, dataset: Dataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __getitem__(self, item: Any) -> Any:
        if not isinstance(item, Slot):
            return self.dataset[item]
        inner, index = answering(self.dataset, item.index)
        if item.seen and not getattr(inner, 'answers_in_order', False):
            return _SEEN
        if hasattr(inner, 'set_order'):
            inner.set_order(self.seed, item.epoch)
        if item.seen and hasattr(inner, 'skip'):
            inner.skip(index)
            return _SEEN
        with seeded(self.seed, self.rank, item.epoch, item.number):
            sample = self.dataset[item.index]
        return _SEEN if item.seen else sample

    def __len__(self) -> int:
        return len(self.dataset)


class SeededStream(_Around, IterableDataset):
    """The same for datasets that only stream: the place is the worker and its sample's number."""

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


class ResumableBatchSampler(_Around):
    """Batches of :class:`Slot` instead of indices.

    Args:
        batches: The user's batch sampler.
        replay: Whether batches that the run has seen are given again, marked, instead of left out.
        workers: Among which the loader deals batches out, beginning with the first in each epoch;
            where epochs are replayed in one go, empty batches keep that up.

    Attributes:
        epoch: Of the next pass.
        start: Batches of the next pass that the run has seen.
        endless: Whether these go on through the following epochs.
    """

    _own = ('batches', 'replay', 'workers', 'epoch', 'start', 'endless')

    def __init__(self, batches: BatchSampler, *, replay: bool = False, workers: int = 0) -> None:
        self.batches, self.replay, self.workers = batches, replay, workers
        self.epoch, self.start, self.endless = 0, 0, False

    def next_epoch(self) -> None:
        self.epoch += 1
        if hasattr(getattr(self.batches, 'sampler', None), 'set_epoch'):
            self.batches.sampler.set_epoch(self.epoch)

    def __iter__(self) -> Iterator[list[Slot]]:
        seen, self.start = self.start, 0
        while True:
            number = count = 0
            for batch in self.batches:
                if not seen or self.replay:
                    yield [
                        Slot(index, self.epoch, number + i, seen > 0)
                        for i, index in enumerate(batch)
                    ]
                number, count = number + len(batch), count + 1
                seen = max(seen - 1, 0)
            if not (self.endless and seen and number):
                return
            if self.replay and self.workers:
                yield from ([] for _ in range(-count % self.workers))
            self.next_epoch()

    def __len__(self) -> int:
        return len(self.batches)


class ResumableDataLoader(DataLoader):
    """Data loader over :class:`ResumableBatchSampler` that drops the batches that are replayed."""

    def __iter__(self) -> Iterator[Any]:
        return filter(lambda batch: batch is not None, super().__iter__())


def _collate(samples: list, *, collate: Any) -> Any:
    return None if not samples or samples[0] is _SEEN else collate(samples)


class ResumableIterator:
    """What ``IterBasedTrainLoop`` draws its batches from, without an end.

    The loop asks for every batch up to the place where it goes on and throws them away: these calls
    are answered with None, and the first real one leaves the indices out.

    Args:
        loader: With a :class:`ResumableBatchSampler`.
        start: Batches that the run has already seen.
    """

    def __init__(self, loader: DataLoader, *, start: int) -> None:
        self._loader, self._answered, self._start = loader, 0, start
        self._batches: Iterator | None = None
        loader.batch_sampler.start, loader.batch_sampler.endless = start, True

    def __iter__(self) -> 'ResumableIterator':
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
    """The dataset with samples seeded by their place."""
    kind = SeededStream if isinstance(dataset, IterableDataset) else SeededDataset
    return kind(dataset=dataset, seed=seed, rank=get_rank())


def resumable_loader(loader: DataLoader, *, seed: int) -> DataLoader:
    """A loader over :func:`place`'s dataset, with places in its batches.

    Args:
        loader: As MMEngine built it.
        seed: Of the run.
    """
    settings = dict(
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        # Starting to iterate draws a number: not from the global generator.
        generator=torch.Generator().manual_seed(seed),
        persistent_workers=loader.persistent_workers,
    )
    if loader.num_workers:
        settings['prefetch_factor'] = loader.prefetch_factor
    if isinstance(loader.dataset, SeededStream):
        settings.update(batch_size=loader.batch_size, drop_last=loader.drop_last)
        return DataLoader(loader.dataset, collate_fn=loader.collate_fn, **settings)
    batches = ResumableBatchSampler(
        loader.batch_sampler,
        replay=answers_in_order(loader.dataset.dataset),
        workers=loader.num_workers,
    )
    return ResumableDataLoader(
        loader.dataset,
        batch_sampler=batches,
        collate_fn=partial(_collate, collate=loader.collate_fn),
        **settings,
    )
