"""Shows that a killed run ends as one that was not: python tools/dev/kill_test.py [--kills 10] …

Trains a config once without interruption. Then trains it again, killed by SIGKILL at random moments
(also while it starts) and several times while a checkpoint is being written, each time gone on with
--resume. At the end the weights, the averaged weights and the optimizer's state must be the same in
every bit. One process on the CPU (or on a GPU: --cfg-options randomness.deterministic=True).

With --sigterm the whole process group gets SIGTERM instead, at moments drawn from the first line of
tools/train.py to the end of the run: each must end with 75 (or 0, if the run had ended before).

    python tools/dev/kill_test.py --config configs/vild/mini/vild_text_r18_mini.py --iters 30
    python tools/dev/kill_test.py --iters 6 --kills 20 --sigterm --validate
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

import mmclip  # noqa: F401  lets torch.load read MMEngine's checkpoints

ROOT = Path(__file__).resolve().parent.parent.parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--config', default='configs/vild/mini/vild_text_r18_mini.py')
    parser.add_argument('--iters', type=int, default=30, help='iterations of the run')
    parser.add_argument('--interval', type=int, default=3, help='iterations between checkpoints')
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--sigterm', action='store_true', help='SIGTERM instead of SIGKILL')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--validate', action='store_true', help='validate at the end too')
    parser.add_argument('--work-dir', default='work_dirs/kill_test')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='as those of tools/train.py')
    return parser.parse_args()


def start(args: argparse.Namespace, work_dir: Path) -> subprocess.Popen:
    options = [
        'train_cfg._delete_=True',
        'train_cfg.type=mmengine.IterBasedTrainLoop',
        f'train_cfg.max_iters={args.iters}',
        f'train_cfg.val_interval={args.iters}',
        f'default_hooks.checkpoint.interval={args.interval}',
        'default_hooks.checkpoint.by_epoch=False',
        *([] if args.validate else [f'val_{x}=None' for x in ('cfg', 'dataloader', 'evaluator')]),
        *args.cfg_options,
    ]
    command = [sys.executable, str(ROOT / 'tools/train.py'), args.config, '--resume']
    command += ['--work-dir', str(work_dir), '--cfg-options', *options]
    log = open(work_dir.with_suffix('.log'), 'a')
    # A group of its own, so that killing it reaches the data loading workers too.
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def saved(work_dir: Path) -> int:
    """Iterations in the newest checkpoint."""
    last = work_dir / 'last.pth'
    return int(Path(os.readlink(last)).stem.split('_')[1]) if last.is_symlink() else 0


def kill_at(process: subprocess.Popen, seconds: float) -> bool:
    """Kill after a time; False if the run ended before."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        kill(process)
        return True


def kill_in_write(process: subprocess.Popen, work_dir: Path, number: int) -> bool:
    """Kill while the ``number``-th checkpoint is being written; False if the run ended before."""
    seen = set()
    while process.poll() is None:
        seen |= {path.name for path in work_dir.glob('.*.pth.partial')}
        if len(seen) == number:
            kill(process)
            return True
        time.sleep(0.0005)
    return False


def hears(process: subprocess.Popen) -> bool:
    """Whether it has a handler of SIGTERM, as from the first line of tools/train.py on."""
    status = Path(f'/proc/{process.pid}/status').read_text()
    caught = next(line for line in status.splitlines() if line.startswith('SigCgt'))
    return bool(int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1)


def terminate_at(process: subprocess.Popen, work_dir: Path, seconds: float) -> bool:
    """SIGTERM after a time, checked for what it must leave; False if the run ended before."""
    while process.poll() is None and not hears(process):
        time.sleep(0.001)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    os.killpg(process.pid, signal.SIGTERM)
    code, partial = process.wait(120), list(work_dir.glob('.*'))
    if code not in (0, 75) or partial:
        sys.exit(f'SIGTERM after {seconds:.1f} s: code {code}, left half-written: {partial}')
    return code == 75


def finish(process: subprocess.Popen, work_dir: Path) -> None:
    if process.wait():
        sys.exit(f'tools/train.py ended with {process.returncode}: {work_dir.with_suffix(".log")}')


def differences(ours: Path, reference: Path) -> list[str]:
    """Names of the tensors and numbers that differ in any bit."""

    def flat(node, name):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from flat(value, f'{name}/{key}')
        elif isinstance(node, list | tuple):
            for index, value in enumerate(node):
                yield from flat(value, f'{name}/{index}')
        else:
            yield name, node

    sides = []
    for path in (ours, reference):
        content = torch.load(path, map_location='cpu')
        parts = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
        sides.append(dict(flat({part: content.get(part) for part in parts}, '')))
    a, b = sides
    return [
        name
        for name in sorted(a.keys() | b.keys())
        if name not in a
        or name not in b
        or not (torch.equal(a[name], b[name]) if torch.is_tensor(a[name]) else a[name] == b[name])
    ]


def main() -> None:
    args = parse_args()
    root = Path(args.work_dir)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    reference, ours = root / 'uninterrupted', root / 'killed'

    begin = time.monotonic()
    process, first = start(args, reference), 0.0
    while process.poll() is None:
        first = first or (time.monotonic() - begin if saved(reference) else 0.0)
        time.sleep(0.01)
    finish(process, reference)
    seconds = time.monotonic() - begin
    each = (seconds - first) / max(args.iters - args.interval, 1)
    starting = first - args.interval * each
    print(f'uninterrupted: {args.iters} iterations in {seconds:.0f} s, {starting:.0f} s to start')

    rng = random.Random(args.seed)
    killed = written = 0
    while killed < args.kills:
        before = saved(ours)
        process = start(args, ours)
        rest = starting + (args.iters - before) * each
        if args.sigterm:
            moment = rng.uniform(0, rest + 2 * each)  # validation and end included
            done = terminate_at(process, ours, moment)
        elif written == 0 or rng.random() < 0.3:
            done = kill_in_write(process, ours, rng.randint(1, 3))
        else:
            done = kill_at(process, rng.uniform(0, rest))
        if not done:
            finish(process, ours)
            if differences(ours / 'last.pth', reference / 'last.pth'):
                break
            print('reached its end, the same in every bit; it starts anew', flush=True)
            shutil.rmtree(ours)
            continue
        partial = [path.name for path in ours.glob('.*.pth.partial')]
        killed, written = killed + 1, written + bool(partial)
        how = f'while writing {partial[0]}' if partial else 'at a random moment'
        if args.sigterm:
            how = f'SIGTERM after {moment:.1f} s, code 75'
        print(f'kill {killed:2}: from iteration {before}, {how}; {saved(ours)} saved', flush=True)
    finish(start(args, ours), ours)

    wrong = differences(ours / 'last.pth', reference / 'last.pth')
    written = f'{written} of them while a checkpoint was being written'
    print(f'{killed} times SIGTERM, code 75' if args.sigterm else f'{killed} kills, {written}')
    if wrong:
        print(f'DIFFERENT in {len(wrong)} entries, e.g. {wrong[0]}')
        sys.exit(1)
    print('the same in every bit')


if __name__ == '__main__':
    main()
