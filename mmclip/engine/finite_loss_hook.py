"""Stops a run whose loss or weights are no longer numbers."""

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmclip.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first loss that is NaN or infinite, before a checkpoint of it is made.

    Reads the values that ``RuntimeInfoHook`` has logged, so it waits for no device. Before a
    checkpoint the weights are looked at too: the update may have broken them after a finite loss.

    Raises:
        FloatingPointError: naming the loss (or the parameter), the iteration and the newest
            checkpoint.
    """

    priority = 'HIGH'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        scalars = runner.message_hub.log_scalars
        values = {name: scalars[f'train/{name}'].current() for name in outputs or {}}
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        # The sum is bad because of its parts.
        parts = [name for name in bad if name != 'loss'] or list(bad)
        if parts:
            named = ', '.join(f'{name} is {bad[name]}' for name in parts)
            self._stop(runner, f'{named} at iteration {runner.iter + 1}')

    def before_checkpoint(self, runner: Runner) -> None:
        """Called by :class:`mmclip.AtomicCheckpointHook`."""
        named = [(name, p) for name, p in runner.model.named_parameters() if p.numel()]
        if named:
            finite = torch.stack([p.detach().isfinite().all() for _, p in named])
            if not finite.all():
                name = named[int(finite.int().argmin())][0]
                self._stop(runner, f'parameter {name} is not finite, no checkpoint is written')

    def _stop(self, runner: Runner, what: str) -> None:
        saved = runner.message_hub.runtime_info.get('last_ckpt')
        kept = f'the newest checkpoint is {saved}' if saved else 'there is no checkpoint yet'
        raise FloatingPointError(
            f'{what}; {kept}. Try a smaller learning rate, a longer warm-up or '
            'optim_wrapper.clip_grad, and look at the data of this iteration'
        )
