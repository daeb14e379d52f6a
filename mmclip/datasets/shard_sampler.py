"""Counts the samples of data that stream from shards, so that epochs have a length."""

from collections.abc import Iterator, Sized
from typing import NamedTuple

from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmclip.registry import DATA_SAMPLERS


class Place(NamedTuple):
    """Where in a stream a sample is asked for; what decides the stream's order.

    Attributes:
        seed: Of the run, the same in every process.
        epoch: Orders shards and samples anew.
        index: Number of the sample within this process's epoch.
    """

    seed: int
    epoch: int
    index: int


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler):
    """Asks a streaming dataset for ``len(dataset)`` samples per epoch, shared by the processes.

    Each process asks for the same number (rounded down), so no process waits for another at the end
    of an epoch. The order of the samples is the dataset's.

    Args:
        dataset: Only its length is used.
        seed: Of the order; None draws one that all processes share.
        endless: Go on with the next epoch for ever, for iteration-based loops.

    Raises:
        ValueError: the dataset is shorter than the number of processes.
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, endless: bool = False) -> None:
        _, world_size = get_dist_info()
        if len(dataset) < world_size:
            raise ValueError(f'dataset: {len(dataset)} samples for {world_size} processes')
        self.size = len(dataset) // world_size
        self.seed = sync_random_seed() if seed is None else seed
        self.endless = endless
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by MMEngine's ``DistSamplerSeedHook`` before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Place]:
        epoch = self.epoch
        while True:
            for index in range(self.size):
                yield Place(self.seed, epoch, index)
            if not self.endless:
                return
            epoch += 1

    def __len__(self) -> int:
        return self.size
