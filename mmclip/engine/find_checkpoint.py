"""Finds the checkpoint that a run goes on from and makes sure that it is whole."""

import functools
from pathlib import Path

from mmclip.io import atomic
from mmclip.io.checkpoint import read_outline, read_training_checkpoint


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint (a file, or a folder of files), or None.

    A file is whole if :mod:`mmclip.io.checkpoint` reads it and its checksums, if any, agree.
    """
    files, read = [path], functools.partial(read_training_checkpoint, device='meta')
    if path.is_dir():
        files = sorted(p for p in path.rglob('*') if p.is_file())
        if not files:
            return 'the folder is empty'
        files = [file for file in files if file.suffix in ('.pth', '.pt')]
        read = read_outline  # a rank's part may hold its own kinds of objects
    for file in files:
        try:
            read(file, verify=True)
        except (ValueError, OSError) as error:
            return f'{file.name}: {error.__cause__ or error}'
    return None


def _newest_first(work_dir: Path) -> list[Path]:
    found = [p for pattern in ('iter_*', 'epoch_*') for p in work_dir.glob(f'{pattern}.pth')]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def remove_partial(folder: Path) -> None:
    """Remove what a run that was killed has left half-written; it may fill the disk."""
    for partial in folder.glob(atomic.PARTIAL.format('*')):
        atomic.remove(partial)


def find(work_dir: Path) -> Path | None:
    """The newest checkpoint of a work dir, or None.

    It is the one that ``last_checkpoint`` names (also if the folder has been moved since); where
    that file is missing or names nothing that exists, the newest ``iter_*.pth`` or ``epoch_*.pth``.
    """
    record = work_dir / 'last_checkpoint'
    named = record.read_text().strip() if record.is_file() else ''
    if named:
        for path in (Path(named), work_dir / Path(named).name):
            atomic.restore_replaced(path)
            if path.exists():
                return path
    return next(iter(_newest_first(work_dir)), None)


def check(path: Path) -> None:
    """Raise if a checkpoint is missing or damaged.

    Args:
        path: A file, or a folder of files.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged; the message names the newest whole one beside it.
    """
    if not path.exists():
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    wrong = damage(path)
    if wrong is None:
        return
    others = (other for other in _newest_first(path.parent) if other.name != path.name)
    previous = next((other for other in others if damage(other) is None), None)
    advice = (
        f'go on from the previous one: --resume {previous}'
        if previous
        else f'there is no other one in {path.parent}; start anew in another --work-dir'
    )
    raise ValueError(f'the checkpoint {path} is damaged ({wrong})\n{advice}')
