"""Saves and leaves when the cluster asks for the machine."""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import BaseLoop, Runner

from mmclip.engine.checkpoint_hook import AtomicCheckpointHook, gradients_are_whole
from mmclip.registry import HOOKS

EXIT_CODE = 75  # EX_TEMPFAIL: try again later
# A launcher that got SIGTERM with its whole process group passes it on: that is not a second one.
ECHO_SECONDS = 2.0


def _deaf_worker(worker_id: int, *, start: Callable[[int], None] | None) -> None:
    """A worker process ends by a SIGTERM of its parent only.

    One that reaches the whole process group would take the data away from an iteration that is to
    be finished.
    """

    def listen() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=listen, daemon=True).start()
    if start is not None:
        start(worker_id)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM finishes the running iteration, saves a checkpoint and exits with code 75.

    One rank that got the signal is enough: after each iteration the ranks agree (one number through
    gloo, which waits for no accelerator), so that all save and leave at the same place. During a
    validation they do so after the running batch, and the validation is made up for by the run that
    goes on. Under gradient accumulation the next update is awaited. A second SIGTERM, two seconds
    or more after the first, ends the process at once. Data loading workers do not hear the signal.

    Needs :class:`mmclip.AtomicCheckpointHook`. If the variable ``MMCLIP_EXIT_CODE_FILE`` names a
    file, the exit code is written to it, for launchers that do not pass exit codes on.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._first: float | None = None
        self._former: Any = None
        self._group: Any = None
        self._common_batches = 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
        elif now - self._first >= ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def before_train(self, runner: Runner) -> None:
        if threading.current_thread() is not threading.main_thread():
            runner.logger.warning('mmclip.PreemptionHook hears signals in the main thread only.')
            return
        self._first = None
        self._former = signal.signal(signal.SIGTERM, self._on_signal)
        if is_distributed() and self._group is None:
            self._group = torch.distributed.new_group(backend='gloo')
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                start = loop.dataloader.worker_init_fn
                loop.dataloader.worker_init_fn = functools.partial(_deaf_worker, start=start)

    def after_train(self, runner: Runner) -> None:
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)

    def _agree(self, number: int, operation: Any) -> int:
        if self._group is None:
            return number
        tensor = torch.tensor(number)
        torch.distributed.all_reduce(tensor, operation, group=self._group)
        return int(tensor)

    def _asked(self) -> bool:
        return bool(self._agree(int(self._first is not None), torch.distributed.ReduceOp.MAX))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if self._asked() and gradients_are_whole(runner):
            self._leave(runner, iterations=runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        if isinstance(runner._train_loop, BaseLoop):
            # Ranks may have one batch more or less: they can agree during the common ones.
            batches = len(runner.val_dataloader)
            self._common_batches = self._agree(batches, torch.distributed.ReduceOp.MIN)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if isinstance(runner._train_loop, BaseLoop) and batch_idx < self._common_batches:
            if self._asked():
                for hook in runner.hooks:
                    if isinstance(hook, EMAHook):  # the averaged weights are in the model now
                        hook.after_val_epoch(runner)
                self._leave(runner, iterations=runner.iter)

    def _leave(self, runner: Runner, *, iterations: int) -> None:
        saver = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        if saver:
            saved = saver[0].save_now(runner, iterations=iterations)
            runner.logger.info(f'SIGTERM: saved {saved}; exit with code {EXIT_CODE}')
        else:
            runner.logger.error('SIGTERM: nothing is saved without mmclip.AtomicCheckpointHook')
        path = os.environ.get('MMCLIP_EXIT_CODE_FILE')
        if path and is_main_process():
            with open(path, 'w') as stream:
                stream.write(str(EXIT_CODE))
        # A launcher that sees one rank leave ends the others: they are leaving anyway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(EXIT_CODE)
