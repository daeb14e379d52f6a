"""Makes the parts of MiniWorld on disk: idempotent, resumable, with check sums.

A part is a module beside this file with ``count(world) -> int``, the number of steps of its
progress bar, and ``write(out, world, tick)``, which fills an empty folder and calls ``tick`` once
per step. To add one (audio, questions), write the module and name it in ``PARTS``; packages beyond
the core that it needs stand in its ``REQUIRES``. It takes its random numbers from generators seeded
with the world's seed and numbers of its own, so that no part depends on another or on the number
of processes.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmclip.datasets.mini_world import (
    captions,
    classification,
    detection,
    grounding,
    points,
    rooms,
    scene_captions,
    segmentation,
    styles,
    video,
)
from mmclip.datasets.mini_world.world import World
from mmclip.io.atomic import unfinished
from mmclip.io.parsing import read_json

PARTS = {
    'detection': detection,
    'captions': captions,
    'classification': classification,
    'segmentation': segmentation,
    'scene_captions': scene_captions,
    'video': video,
    'grounding': grounding,
    'points': points,
    'rooms': rooms,
    'styles': styles,
}
RECORD = 'checksums.json'
INSTALL = "pip install 'mmclip[points]'"
# Raise the number of a part when the files of an existing seed change.
FORMATS = defaultdict(lambda: 3, segmentation=4)


def checksum(folder: Path) -> str:
    """SHA-256 over the relative names and bytes of all files of a part."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob('*') if p.is_file() and p.name != RECORD):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def missing_packages(part: str) -> list[str]:
    """Packages that a part needs and that are not installed."""
    return [name for name in getattr(PARTS[part], 'REQUIRES', ()) if find_spec(name) is None]


def _record(out: Path, part: str) -> dict | None:
    path = out / part / RECORD
    if not path.is_file():
        return None
    keys = ('format', 'seed', 'scale')
    return read_json(path, kind=dict, keys=keys, hint='delete it, the part is made again')


def _is_made(out: Path, part: str, world: World) -> bool:
    """Whether a part lies there whole; of another world than this one is an error."""
    record = _record(out, part)
    if record is None or record['format'] != FORMATS[part]:
        return False
    there = World(record['seed'], record['scale'])
    if there != world:
        raise ValueError(
            f'out: {out / part} is of another world ({there}, asked for is {world}); parts of two '
            f'worlds do not fit together: take another folder or delete {out}'
        )
    return True


def _write_part(out: Path, part: str, world: World, tick: Callable[[], None]) -> None:
    """Write into a temporary folder, then rename: a part is there whole or not at all."""
    partial = out / f'.{part}.partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with unfinished(partial):
        PARTS[part].write(partial, world, tick)
        record = dict(
            seed=world.seed, scale=world.scale, format=FORMATS[part], sha256=checksum(partial)
        )
        (partial / RECORD).write_text(json.dumps(record))
        shutil.rmtree(out / part, ignore_errors=True)
        partial.rename(out / part)


_counter = None


def _share_counter(counter) -> None:
    global _counter
    _counter = counter


def _count_one() -> None:
    with _counter.get_lock():
        _counter.value += 1


def _write_in_process(out: Path, part: str, world: World) -> None:
    _write_part(out, part, world, _count_one)


def _write_all(
    out: Path, parts: list[str], world: World, processes: int, progress: Progress
) -> None:
    bar = progress.add_task('', total=sum(PARTS[part].count(world) for part in parts))
    if min(processes, len(parts)) == 1:
        for part in parts:
            _write_part(out, part, world, lambda: progress.advance(bar))
        return
    context = get_context('spawn')
    counter = context.Value('l', 0)
    with ProcessPoolExecutor(
        min(processes, len(parts)), context, initializer=_share_counter, initargs=(counter,)
    ) as pool:
        pending = {pool.submit(_write_in_process, out, part, world) for part in parts}
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            progress.update(bar, completed=counter.value)
            for job in done:
                job.result()


def make(
    out: str | Path,
    *,
    parts: Iterable[str] = tuple(PARTS),
    seed: int = 0,
    scale: float = 1.0,
    processes: int = 2,
    report: Callable[[str], None] = print,
) -> None:
    """Make the parts that are not there yet; several processes may ask for it at the same time.

    Args:
        out: Folder of the world, e.g. ``data/mini_world``.
        parts: Names from ``PARTS``.
        seed: Of the world; another seed draws other unseen compositions and images.
        scale: Share of the images to make, 1 is the full world; tests use 0.02.
        processes: Parts made at the same time; the files are the same for any number.
        report: Called with one line per part.

    Raises:
        ValueError: unknown part, bad seed or scale, or ``out`` holds another world; a part needs a
            package that is not installed.
    """
    out = Path(out)
    world = World(seed, scale)
    parts = list(dict.fromkeys(parts))
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f'parts: unknown {unknown}; there are {sorted(PARTS)}')
    if processes < 1:
        raise ValueError(f'processes: {processes}; allowed are 1 and more')
    if all(_is_made(out, part, world) for part in parts):
        report(f'{out} is there: {", ".join(parts)}')
        return
    for part in parts:
        if lacking := missing_packages(part):
            raise ValueError(f'parts: {part!r} needs {", ".join(lacking)}: {INSTALL}')
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn('MiniWorld'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with FileLock(out / '.lock'), Progress(*columns, console=Console(stderr=True)) as progress:
        missing = [part for part in parts if not _is_made(out, part, world)]
        if missing:
            _write_all(out, missing, world, processes, progress)
    for part in parts:
        report(f'{out / part} {"made" if part in missing else "is there"}')


def verify(out: str | Path, *, parts: Iterable[str] = tuple(PARTS)) -> list[str]:
    """Names of the parts whose files are missing or differ from their check sum."""
    out = Path(out)
    damaged = []
    for part in parts:
        record = _record(out, part)
        if record is None or checksum(out / part) != record['sha256']:
            damaged.append(part)
    return damaged
