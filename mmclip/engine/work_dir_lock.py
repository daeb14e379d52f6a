"""One training at a time in a work dir."""

import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = 'train.lock'
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
_held: set[int] = set()


def is_first_process(launcher: str) -> bool:
    """Whether this process is rank 0 of its job; known before there is a process group."""
    return int(os.environ.get(_RANKS.get(launcher, ''), 0)) == 0


def _close_in_child() -> None:
    """A lock ends when no process has it open: workers must not outlive the run with it."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def held(work_dir: Path) -> Iterator[None]:
    """Hold a work dir; the system ends the lock with this process, however that ends.

    The file ``train.lock``, which stays, says who holds it. Not the `filelock` package: its older
    versions empty the file that a second process looks at. On NFS the lock counts for all hosts if
    the mount has locks; where a file system has none, or cannot be written, there is a warning.

    Raises:
        ValueError: another run holds it; the message names that run.
    """
    try:
        descriptor = _lock(work_dir)
    except BlockingIOError:
        owner = ''
        with suppress(OSError):
            owner = (work_dir / FILE).read_text().strip()
        raise ValueError(
            f'{work_dir} is in use by another run ({owner or "not named"}); wait for its end, '
            'stop it, or take another --work-dir'
        ) from None
    except (OSError, ImportError) as error:
        warnings.warn(f'{work_dir} cannot be locked ({error}): let no second run use it')
        yield
        return
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _lock(work_dir: Path) -> int:
    import fcntl  # not on Windows

    work_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work_dir / FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    since = time.strftime('%Y-%m-%d %H:%M:%S %z')
    text = f'process {os.getpid()} on {socket.gethostname()}, since {since}\n'
    with suppress(OSError):  # of one length: a full disk has room for what was there before
        os.pwrite(descriptor, text.encode().ljust(256), 0)
    return descriptor
