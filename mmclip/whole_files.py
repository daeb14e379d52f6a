"""Files that are there whole or not at all: written aside, synced, renamed."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = '.{}.partial'
REPLACED = '.{}.replaced'


def sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, from the system's cache to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name to write to; on leaving it is synced and takes the place of ``path``.

    Whoever looks sees the old file or the new one, also after a power cut, and also where several
    processes write the same. On an error the old one stays and the temporary one goes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial-{socket.gethostname()}-{os.getpid()}')
    try:
        yield partial
        os.chmod(partial, 0o644)  # safetensors makes files that only their owner reads
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


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
    partial = path.with_name(PARTIAL.format(path.name))
    partial.write_text(text)
    commit(partial, path)


def link(name: Path, target: Path) -> None:
    """Make ``name`` a link to ``target`` in the same folder, replacing an older link at once."""
    partial = name.with_name(PARTIAL.format(name.name))
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
