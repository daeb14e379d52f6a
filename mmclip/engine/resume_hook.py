"""A run that goes on is the run that was cut off: its order of data and its random states."""

from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmclip.engine import random_states
from mmclip.engine.resumable_data import (
    ResumableBatchSampler,
    ResumableIterator,
    SeededStream,
    place,
    resumable_loader,
)
from mmclip.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a run that goes on from a checkpoint end as if it had never stopped.

    - Each sample is drawn with a seed made of the run's seed and its place in the run, whatever
      the number of worker processes (:mod:`mmclip.engine.resumable_data`); a resumed run leaves
      out indices instead of loading samples, also in the middle of an epoch.
    - The random states of every rank are in each checkpoint (in ``message_hub``, so in those of
      ``FlexibleRunner``'s strategies too).
    - Loading data and validating do not touch the random states of training.

    It exchanges the train loop's data loader before training starts; one that was passed to the
    Runner ready-made, and loops of other kinds, are left as they are.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._outside: random_states.States | None = None
        self._pending: random_states.States | None = None

    def before_train(self, runner: Runner) -> None:
        self._place_data(runner)
        self._outside = self._pending = None
        states = runner.message_hub.runtime_info.get('random_states')
        if runner._resume and states is not None:
            if len(states) == get_world_size():
                self._pending = states[get_rank()]
            else:
                runner.logger.warning(
                    f'The checkpoint holds the random states of {len(states)} processes, there are '
                    f'{get_world_size()} now: the run goes on, but not as it would have.'
                )

    def _place_data(self, runner: Runner) -> None:
        loop, settings = runner.train_loop, runner.cfg.get('train_dataloader')
        loops = (EpochBasedTrainLoop, IterBasedTrainLoop)
        if not isinstance(loop, loops) or not isinstance(settings, dict):
            runner.logger.warning('mmclip.ExactResumeHook does not know this train loop or loader.')
            return
        randomness = getattr(runner, '_randomness_cfg', None)
        randomness = runner.strategy.randomness if randomness is None else randomness
        # The samplers of all ranks share one seed.
        seed = runner.seed - (get_rank() if randomness.get('diff_rank_seed') else 0)
        settings = {**settings, 'dataset': place(loop.dataloader.dataset, seed=seed)}
        settings.pop('num_batch_per_epoch', None)  # has been applied to the dataset
        # A new sampler: MMEngine's loop has already drawn from the old one to load ahead.
        loader = loop.dataloader = resumable_loader(
            runner.build_dataloader(settings, seed=seed), seed=seed
        )
        if isinstance(loader.dataset, SeededStream):
            if isinstance(loop, IterBasedTrainLoop):
                loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
        elif isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = ResumableIterator(loader, start=loop.iter)
        else:
            done = loop.iter - loop.epoch * len(loader)
            if 0 <= done <= len(loader):
                loader.batch_sampler.start = done
            else:
                runner.logger.warning(
                    f'iteration {loop.iter} is not in epoch {loop.epoch} of {len(loader)} batches: '
                    'the epoch starts anew'
                )

    def before_train_epoch(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            sampler = runner.train_dataloader.batch_sampler
            if isinstance(sampler, ResumableBatchSampler):
                sampler.epoch = runner.epoch
            self._restore()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._restore()

    def _restore(self) -> None:
        if self._pending is not None:
            random_states.restore(self._pending)
            self._pending = None

    def before_val(self, runner: Runner) -> None:
        if isinstance(runner._train_loop, BaseLoop):
            self._outside = self._pending or random_states.capture()

    def after_val(self, runner: Runner) -> None:
        if self._outside is not None:
            random_states.restore(self._outside)
            self._outside = None

    def before_checkpoint(self, runner: Runner) -> None:
        """Called on all ranks by :class:`mmclip.AtomicCheckpointHook`."""
        states = self._outside or random_states.capture()
        gathered = all_gather_object(states)
        runner.message_hub.update_info('random_states', gathered)
