"""What SIGTERM does to a training process and to its data loading workers."""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, NoReturn

from torch.utils.data import DataLoader

from mmclip.io import atomic

EXIT_CODE = 75  # EX_TEMPFAIL: try again later
received = False  # whether a run is about to leave because of a SIGTERM
SECONDS = 5.0  # between a worker's looks at whether the trainer is still there


def write_exit_code() -> None:
    """Write the exit code to the file that ``MMCLIP_EXIT_CODE_FILE`` names, if it is set."""
    path = os.environ.get('MMCLIP_EXIT_CODE_FILE')
    if path:
        with contextlib.suppress(OSError), open(path, 'w') as stream:
            stream.write(str(EXIT_CODE))


def exit_at_once(number: int = signal.SIGTERM, frame: FrameType | None = None) -> NoReturn:
    """End the process with :data:`EXIT_CODE` and leave nothing half-written behind.

    A handler of signals. It raises nothing, since whoever is interrupted might catch it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises when a worker has ended
    with contextlib.suppress(Exception):  # the stream may be in the middle of a flush
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f'SIGTERM: exit with code {EXIT_CODE}\n'.encode())
    atomic.remove_unfinished()
    write_exit_code()
    with contextlib.suppress(Exception):
        for child in multiprocessing.active_children():
            child.terminate()
    os._exit(EXIT_CODE)


def exit_from_now_on() -> None:
    """Let SIGTERM end this process by :func:`exit_at_once`, and one after its end do nothing."""
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            exit_at_once()
        # A forked child that has not set its own handlers yet.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)


@contextmanager
def blocked() -> Iterator[None]:
    """Keep SIGTERM waiting; threads and processes that are started meanwhile never hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialize_worker(worker_id: int, *, start: Callable[[int], None] | None) -> None:
    """Let a worker process end by a SIGTERM of the trainer only, or with the trainer.

    One that reaches the whole process group would take the data away from an iteration that is to
    be finished.
    """
    trainer = multiprocessing.parent_process()  # not `getppid`, which may be a fork server

    def listen() -> None:
        while trainer.is_alive():
            signal_info = signal.sigtimedwait({signal.SIGTERM}, SECONDS)
            if signal_info is not None and signal_info.si_pid == trainer.pid:
                break
        os._exit(0)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=listen, daemon=True).start()
    if start is not None:
        start(worker_id)


def protect_workers() -> None:
    """Start the workers of all data loaders of this process so that they hear no foreign SIGTERM.

    The signal is blocked before they start, since a spawned worker has native threads (OpenMP's)
    before any Python of ours runs in it; the mask is inherited by a fork server too.
    """
    plain: Any = DataLoader._get_iterator
    if getattr(plain, 'protects', False):
        return

    @functools.wraps(plain)
    def get_iterator(loader: DataLoader) -> Any:
        if not loader.num_workers:
            return plain(loader)
        start = loader.worker_init_fn
        loader.worker_init_fn = functools.partial(_initialize_worker, start=start)
        context = loader.multiprocessing_context or multiprocessing
        if context.get_start_method() != 'fork':
            resource_tracker.ensure_running()  # its start would unblock the signal
        try:
            with blocked():
                return plain(loader)
        finally:
            loader.worker_init_fn = start

    get_iterator.protects = True
    DataLoader._get_iterator = get_iterator
