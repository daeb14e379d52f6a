"""Files that are there whole or not at all: written aside, synced, renamed."""

import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

PARTIAL = '.{}.partial'
REPLACED = '.{}.replaced'
_unfinished: dict[Path, int] = {}  # partial files and folders -> the process that writes them


def sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, from the system's cache to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished() -> None:
    """Remove what this process has begun to write and not finished; safe in a signal handler."""
    for path, writer in list(_unfinished.items()):
        if writer == os.getpid():
            with suppress(OSError):
                remove(path)


def _end_cleanly(number: int, frame: FrameType | None) -> None:
    remove_unfinished()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextmanager
def unfinished(partial: Path) -> Iterator[Path]:
    """Remove ``partial`` (a file or folder) on leaving, unless it has been given another name.

    So it goes after an error too, a full disk for example, and when a SIGTERM that nobody handles
    ends the process.
    """
    guards = threading.current_thread() is threading.main_thread()
    guards = guards and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if guards:
        signal.signal(signal.SIGTERM, _end_cleanly)
    _unfinished[partial] = os.getpid()
    try:
        yield partial
    finally:
        with suppress(OSError):  # not to hide the error that brought us here
            remove(partial)
        _unfinished.pop(partial, None)
        if guards:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def atomic_file(path: str | os.PathLike, *, keep_suffix: bool = False) -> Iterator[Path]:
    """A temporary name to write to; on leaving it is synced and takes the place of ``path``.

    Whoever looks sees the old file or the new one, also after a power cut, and also where several
    processes write the same. On an error the old one stays and the temporary one goes.

    Args:
        path: The file.
        keep_suffix: Whether the temporary name ends as ``path`` does, for writers that look at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f'partial-{socket.gethostname()}-{os.getpid()}'
    end = path.suffix if keep_suffix else ''
    name = path.stem if keep_suffix else path.name
    with unfinished(path.with_name(f'.{name}.{writer}{end}')) as partial:
        yield partial
        os.chmod(partial, 0o644)  # safetensors makes files that only their owner reads
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)


def write_image(path: str | os.PathLike, pixels: Any) -> None:
    """Atomically write an image file in the format that its suffix says.

    Args:
        path: The file.
        pixels: (H, W) or BGR (H, W, 3), as OpenCV has them.

    Raises:
        ValueError: no image can be written to a file of this name.
    """
    import cv2  # not needed by those who write other files

    try:
        made, content = cv2.imencode(Path(path).suffix, pixels)
    except cv2.error:
        made = False
    if not made:
        raise ValueError(f'{path}: not the name of an image file that can be written; use .png')
    with atomic_file(path) as partial:
        partial.write_bytes(content.tobytes())


def commit(partial: Path, final: Path) -> None:
    """Give finished content its name; whoever looks sees the old content or the new one.

    A folder cannot replace a folder in one step: for a moment the old one is under
    ``.NAME.replaced``, from where :func:`restore_replaced` takes it back.

    Args:
        partial: The finished file or folder, in the same folder as ``final``.
        final: The name that it gets.
    """
    inside = sorted(partial.rglob('*')) if partial.is_dir() else []
    for path in (*inside, partial):
        sync(path)
    replaced = final.with_name(REPLACED.format(final.name))
    if partial.is_dir() and final.is_dir():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(final, replaced)
    os.replace(partial, final)
    sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def restore_replaced(final: Path) -> None:
    """Undo a :func:`commit` of a folder that was cut off between its two renames."""
    replaced = final.with_name(REPLACED.format(final.name))
    if replaced.is_dir() and not final.exists():
        os.rename(replaced, final)


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    with unfinished(path.with_name(PARTIAL.format(path.name))) as partial:
        partial.write_text(text)
        commit(partial, path)


def link(name: Path, target: Path) -> None:
    """Make ``name`` a link to ``target`` in the same folder, replacing an older link at once."""
    with unfinished(name.with_name(PARTIAL.format(name.name))) as partial:
        partial.unlink(missing_ok=True)
        try:
            partial.symlink_to(target.name)
        except OSError:  # a file system without symbolic links
            os.link(target, partial)
        os.replace(partial, name)


def link_folder(name: Path, target: Path) -> None:
    """Make ``name`` a link to the folder ``target``, replacing an older link at once.

    Raises:
        ValueError: ``name`` is a folder of its own, which is left alone.
    """
    if name.exists() and name.samefile(target):
        return
    if name.exists() and not name.is_symlink():
        raise ValueError(f'{name} is there and is no link to {target}; move it away first')
    name.parent.mkdir(parents=True, exist_ok=True)
    partial = name.with_name(PARTIAL.format(name.name))
    partial.unlink(missing_ok=True)
    partial.symlink_to(target.resolve(), target_is_directory=True)
    os.replace(partial, name)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
