"""Runs tools/train.py and tools/test.py on toy configs, and compares what they leave."""

import os
import signal
import socket
import tempfile
from pathlib import Path

import torch
from forked import CONTEXT, ROOT, as_interpreter
from mmengine.config import Config

CONFIG = """\
_base_ = {runtime!r}
custom_imports = dict(imports=['toy_parts'])
default_scope = 'mmengine'
model = dict(type='ToyModel')
train_dataloader = dict(batch_size=4, num_workers={workers}, persistent_workers={workers} > 0,
    sampler=dict(type={sampler!r}, shuffle=True), dataset=dict(type='ToyDataset'),
    collate_fn=dict(type='pseudo_collate'))
val_dataloader = dict(batch_size=4, num_workers=0,
    dataset=dict(type='ToyDataset', size=9, pipeline=[dict(type='ToyAugment', scale=0.0)]),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='ToyMetric')
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-2))
custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='ToyLog')]
auto_scale_lr = dict(enable=False, base_batch_size=8)
"""
ITERATIONS = """\
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20, val_interval=5)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
    dict(type='ReduceOnPlateauLR', monitor='acc', rule='greater', patience=0, factor=0.5)]
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2, save_best='acc'),
    logger=dict(interval=5))
"""
EPOCHS = """\
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
param_scheduler = dict(type='CosineAnnealingLR', T_max=4)
default_hooks = dict(checkpoint=dict(interval=1, by_epoch=True, max_keep_ckpts=2, save_best='acc'),
    logger=dict(interval=5))
log_processor = dict(by_epoch=True)
"""


def write_config(
    folder: Path, *, epochs: bool = False, workers: int = 0, sampler: str = '', more: str = ''
) -> Path:
    path = folder / 'toy_config.py'
    sampler = sampler or ('DefaultSampler' if epochs else 'InfiniteSampler')
    runtime = str(ROOT / 'configs' / '_base_' / 'default_runtime.py')
    head = CONFIG.format(runtime=runtime, workers=workers, sampler=sampler)
    path.write_text(head + (EPOCHS if epochs else ITERATIONS) + more)
    return path


def _child(arguments: list[str], cwd: str, log: str, variables: dict[str, str]) -> None:
    """In a fresh process: what the interpreter does with a tool and its arguments."""
    # Formatting the config takes longer than all else here, and each checkpoint asks for it.
    text, texts = Config.pretty_text.fget, {}

    def remembered(config: Config) -> str:
        if id(config) not in texts:
            texts[id(config)] = text(config)
        return texts[id(config)]

    Config.pretty_text = property(remembered)
    as_interpreter(arguments, cwd, (log, log), variables)


class Tool:
    """A run of a tool in fresh processes; they are forked from a server that has imported torch.

    Args:
        arguments: The tool (``'tools/train.py'``) and its arguments.
        cwd: Folder in which it runs.
        processes: More than one: as torchrun starts them, ranks 0, 1, ...
        variables: Environment.
    """

    def __init__(self, *arguments: object, cwd: Path, processes: int = 1, **variables: str) -> None:
        rest = [str(argument) for argument in arguments]
        rest[0] = str(ROOT / rest[0])
        if processes > 1:
            rest += ['--launcher', 'pytorch']
            with socket.socket() as probe:
                probe.bind(('127.0.0.1', 0))
                port = str(probe.getsockname()[1])
            variables |= dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=str(processes))
        _, log = tempfile.mkstemp(suffix='.log', dir=cwd)
        self._logs = [f'{log}.{rank}' for rank in range(processes)]
        self.processes = []
        for rank, log in enumerate(self._logs):
            Path(log).touch()
            own = {**os.environ, **variables}
            if processes > 1:
                own.update(RANK=str(rank), LOCAL_RANK=str(rank))
            process = CONTEXT.Process(target=_child, args=(rest, str(cwd), log, own))
            process.start()
            self.processes.append(process)

    @property
    def pid(self) -> int:
        return self.processes[0].pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        for process in self.processes:
            os.kill(process.pid, number)

    def wait(self, *, code: int | None = 0) -> str:
        """What rank 0 printed, once all have ended; ``code`` is what they must end with."""
        for process in self.processes:
            process.join(300)
            if process.exitcode is None:
                self.kill()
                raise AssertionError(f'hangs\n{self.output()}')
        codes = {process.exitcode for process in self.processes}
        assert code is None or codes == {code}, f'{codes}\n{self.output()}'
        return self.output()

    def output(self) -> str:
        return '\n'.join(Path(log).read_text() for log in self._logs)[-9000:]


def run(*arguments: object, code: int | None = 0, **options) -> str:
    """Run a tool to its end and return what it printed."""
    return Tool(*arguments, **options).wait(code=code)


def checkpoint(path: Path) -> dict:
    import mmclip  # noqa: F401  allows what MMEngine's checkpoints hold

    return torch.load(path, map_location='cpu')


def differences(a: Path, b: Path, parts: tuple = ('state_dict', 'ema_state_dict', 'optimizer')):
    """Names of the tensors in which two checkpoints differ in any bit."""
    a, b = checkpoint(a), checkpoint(b)

    def flat(node, name=''):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from flat(value, f'{name}/{key}')
        elif isinstance(node, list | tuple):
            for index, value in enumerate(node):
                yield from flat(value, f'{name}/{index}')
        else:
            yield name, node

    a, b = (dict(flat({part: c[part] for part in parts if part in c})) for c in (a, b))
    assert a, 'nothing to compare'
    same = {
        name: torch.equal(a[name], b[name])
        if isinstance(a[name], torch.Tensor)
        else a[name] == b[name]
        for name in a.keys() & b.keys()
    }
    return sorted([*(a.keys() ^ b.keys()), *(name for name, equal in same.items() if not equal)])


def order(work_dir: Path, rank: int = 0) -> dict[int, str]:
    """What each iteration was fed, by ``ToyLog``; an iteration done twice must be fed the same."""
    fed: dict[int, str] = {}
    for line in (work_dir / f'order_{rank}.txt').read_text().splitlines():
        iteration, value = line.split()
        assert fed.setdefault(int(iteration), value) == value, f'iteration {iteration} differs'
    return fed
