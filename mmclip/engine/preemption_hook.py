"""Saves and leaves when the cluster asks for the machine."""

import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import BaseLoop, Runner

from mmclip.engine import sigterm
from mmclip.engine.checkpoint_hook import AtomicCheckpointHook, gradients_are_whole
from mmclip.registry import HOOKS

# A launcher that got SIGTERM with its whole process group passes it on: that is not a second one.
ECHO_SECONDS = 2.0


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM finishes the running iteration, saves a checkpoint and exits with code 75.

    One rank that got the signal is enough: after each iteration the ranks agree (one number through
    gloo, which waits for no accelerator), so that all save and leave at the same place. During a
    validation they do so after the running batch, and the validation is made up for by the run that
    goes on. Under gradient accumulation the next update is awaited. A second SIGTERM, two seconds
    or more after the first, ends the process at once, also with code 75 but without a checkpoint.
    Data loading workers do not hear the signal.

    It listens from the start of training, or of the validation that a resumed run makes up for, to
    the end of training; before and after, what SIGTERM does is up to the program:
    ``tools/train.py`` ends with code 75.

    Needs :class:`mmclip.AtomicCheckpointHook`. If the variable ``MMCLIP_EXIT_CODE_FILE`` names a
    file, the exit code is written to it, for launchers that do not pass exit codes on.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._first: float | None = None
        self._listens = self._ended = False
        self._former: Any = None
        self._group: Any = None
        self._common_batches = 0
        # Not in `before_train`: IterBasedTrainLoop starts workers, and with them Python's fork
        # server, before it calls any hook.
        sigterm.protect_workers()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now, sigterm.received = time.monotonic(), True
        if self._first is None:
            self._first = now
        elif now - self._first >= ECHO_SECONDS:
            sigterm.exit_at_once()

    def _listen(self, runner: Runner) -> None:
        if self._listens:
            return
        if threading.current_thread() is not threading.main_thread():
            runner.logger.warning('mmclip.PreemptionHook hears signals in the main thread only.')
            return
        if is_distributed() and self._group is None:
            self._group = torch.distributed.new_group(backend='gloo')
        self._first, self._listens = None, True
        self._former = signal.signal(signal.SIGTERM, self._on_signal)

    def before_train(self, runner: Runner) -> None:
        self._ended = False
        self._listen(runner)

    def after_train(self, runner: Runner) -> None:
        self._ended = True
        if not self._listens:
            return
        signal.signal(signal.SIGTERM, self._former)  # first: none may be lost in between
        if self._asked():
            signal.signal(signal.SIGTERM, self._on_signal)
            self._leave(runner, iterations=runner.iter)
        self._listens = False

    def _agree(self, number: int, operation: Any) -> int:
        if self._group is None:
            return number
        tensor = torch.tensor(number)
        try:
            torch.distributed.all_reduce(tensor, operation, group=self._group)
        except RuntimeError:
            if self._first is not None:  # another rank was not training yet and has left at once
                sigterm.exit_at_once()
            raise
        return int(tensor)

    def _asked(self) -> bool:
        return bool(self._agree(int(self._first is not None), torch.distributed.ReduceOp.MAX))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self._asked() and gradients_are_whole(runner):
            self._leave(runner, iterations=runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        if isinstance(runner._train_loop, BaseLoop) and not self._ended:
            self._listen(runner)  # AtomicCheckpointHook makes up for a validation in `before_train`
            # Ranks may have one batch more or less: they can agree during the common ones.
            batches = len(runner.val_dataloader)
            self._common_batches = self._agree(batches, torch.distributed.ReduceOp.MIN)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self._listens and batch_idx < self._common_batches:
            if self._asked():
                for hook in runner.hooks:
                    if isinstance(hook, EMAHook):  # the averaged weights are in the model now
                        hook.after_val_epoch(runner)
                self._leave(runner, iterations=runner.iter)

    def _leave(self, runner: Runner, *, iterations: int) -> None:
        saver = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        if saver:
            saved = saver[0].save_now(runner, iterations=iterations)
            runner.logger.info(f'SIGTERM: saved {saved}; exit with code {sigterm.EXIT_CODE}')
        else:
            runner.logger.error('SIGTERM: nothing is saved without mmclip.AtomicCheckpointHook')
        if is_main_process():
            sigterm.write_exit_code()
        # A launcher that sees one rank leave ends the others: they are leaving anyway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(sigterm.EXIT_CODE)
