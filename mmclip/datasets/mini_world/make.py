"""Makes the parts of MiniWorld on disk: idempotent, resumable, with check sums.

A part is a module beside this file with ``count(world) -> int`` and
``write(out, world, tick)``, which fills an empty folder. To add one (masks, video, audio, points,
depth, grounding, VQA), write the module and name it in ``PARTS``.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmclip.datasets.mini_world import captions, classification, detection
from mmclip.datasets.mini_world.world import World

PARTS = {'detection': detection, 'captions': captions, 'classification': classification}
RECORD = 'checksums.json'
FORMAT = 1  # raise it when the files of an existing seed change


def checksum(folder: Path) -> str:
    """SHA-256 over the relative names and bytes of all files of a part."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob('*') if p.is_file() and p.name != RECORD):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _record(out: Path, part: str) -> dict | None:
    path = out / part / RECORD
    return json.loads(path.read_text()) if path.is_file() else None


def is_made(out: Path, part: str, seed: int) -> bool:
    """Whether a part lies there whole, made with this seed by this version."""
    record = _record(out, part)
    return record is not None and (record['seed'], record['format']) == (seed, FORMAT)


def _write_part(out: Path, part: str, seed: int, counter) -> str:
    """Write into a temporary folder, then rename: a part is there whole or not at all."""
    world = World(seed)
    partial = out / f'.{part}.partial-{os.getpid()}'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:

        def tick() -> None:
            with counter.get_lock():
                counter.value += 1

        PARTS[part].write(partial, world, tick)
        record = dict(seed=seed, format=FORMAT, sha256=checksum(partial))
        (partial / RECORD).write_text(json.dumps(record))
        shutil.rmtree(out / part, ignore_errors=True)
        partial.rename(out / part)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return part


_counter = None


def _initialise(counter) -> None:
    global _counter
    _counter = counter


def _job(out: Path, part: str, seed: int) -> str:
    return _write_part(out, part, seed, _counter)


def make(
    out: str | Path,
    *,
    parts: Iterable[str] = tuple(PARTS),
    seed: int = 0,
    processes: int = 2,
    report: Callable[[str], None] = print,
) -> None:
    """Make the parts that are not there yet.

    Args:
        out: Folder of the world, e.g. ``data/mini_world``.
        parts: Names from ``PARTS``.
        seed: Of the world; another seed draws other unseen compositions and pictures.
        processes: Parts made at the same time.
        report: Called with one line per part.

    Raises:
        ValueError: unknown part.
    """
    out = Path(out)
    parts = list(parts)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f'parts: unknown {unknown}; there are {sorted(PARTS)}')
    missing = [part for part in parts if not is_made(out, part, seed)]
    for part in set(parts) - set(missing):
        report(f'{out / part} is there')
    if not missing:
        return
    for leftover in out.glob('.*.partial-*'):
        shutil.rmtree(leftover, ignore_errors=True)

    context = get_context('spawn')
    counter = context.Value('l', 0)
    total = sum(PARTS[part].count(World(seed)) for part in missing)
    columns = (TextColumn('MiniWorld'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        ProcessPoolExecutor(
            min(processes, len(missing)), context, initializer=_initialise, initargs=(counter,)
        ) as pool,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task('', total=total)
        jobs = [pool.submit(_job, out, part, seed) for part in missing]
        while not all(job.done() for job in jobs):
            progress.update(bar, completed=counter.value)
            pending = [job for job in jobs if not job.done()]
            wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        progress.update(bar, completed=counter.value)
        for job in jobs:
            report(f'{out / job.result()} made')


def verify(out: str | Path, *, parts: Iterable[str] = tuple(PARTS)) -> list[str]:
    """Names of the parts whose files are missing or differ from their check sum."""
    out = Path(out)
    damaged = []
    for part in parts:
        record = _record(out, part)
        if record is None or checksum(out / part) != record['sha256']:
            damaged.append(part)
    return damaged
