"""Trains and tests the rows of a method's MiniWorld tables over several seeds; can be cut off.

    python benchmarks/reproduce.py benchmarks/mini_world/lseg.yml --seeds 0 1 2 [--report] ...

Every run is tools/train.py, every row tools/test.py. What is done is kept below ``--work-dir`` and
skipped the next time, a training that was cut off goes on, and a run whose config has changed since
is made anew. A second process with the same arguments takes the runs that the first has not begun.
Metrics are also kept beside the plan, in a json of its name: a row that stands there is not
measured again, on whatever machine; delete its line to do so. At the end the tables are written
into the method's README, between their markers::

    <!-- mini_table: NAME -->
    <!-- /mini_table -->

The file::

    readme: configs/lseg/README.md
    runs:                                # trainings, once per seed
      clip: {config: lseg/mini/lseg_r18_mini.py}
      start: {config: lseg/start_mini.py, seeds: 1}          # seed 0 for all
      other: {config: lseg/lseg_mini.py, options: {model.pretrained: '{start}'}}   # a checkpoint
      third: {config: vild/vild_mini.py, prepare: regions}   # a tool has to be run before
    prepare:                             # with what seed 0's runs left, whatever --seeds says
      regions: {tool: precompute_regions.py, arguments: {--checkpoint: '{start}', --out: data/x}}
    tables:
      NAME:
        scale: 100                                           # metrics are fractions; 1 by default
        columns: {Base: seg/mIoU_base, Unseen: seg/mIoU_unseen}
        rows:
          - {name: 'LSeg', run: clip}                        # tested by its own config
          - {name: 'shuffled words', run: clip, config: lseg/mini/lseg_r18_mini_shuffled.py}
          - {name: 'untrained', config: lseg/mini/lseg_r18_mini.py, untrained: true}
          - {name: 'zero-shot', config: point_clip/mini/x.py, no_checkpoint: true}

A cell is the mean over seeds, with the standard deviation behind ± (from two seeds on).
"""

import argparse
import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from mmengine.config import Config, DictAction

from mmclip import config_path, user_errors
from mmclip.io.atomic import write_text

TOOLS = Path(__file__).resolve().parent.parent / 'tools'
MARKER = r'(<!-- mini_table: {name} -->\n).*?(<!-- /mini_table -->)'


@dataclass(frozen=True)
class Run:
    """One training: a config with options, of which some may be the checkpoints of other runs."""

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None  # 1: seed 0 serves all, whatever --seeds says
    seed_shift: int = 0  # added to the seed: a second run of the same config
    prepare: str | None = None  # what has to be made before, by its name in the file

    def seed(self, seed: int) -> int:
        return (0 if self.seeds == 1 else seed) + self.seed_shift


def read_plan(path: Path) -> dict[str, Any]:
    """The file, checked.

    Raises:
        ValueError: a row names no run, or a run an unknown key.
    """
    plan = yaml.safe_load(path.read_text())
    runs = {name: Run(name, **row) for name, row in plan['runs'].items()}
    for run in runs.values():
        if run.prepare is not None and run.prepare not in plan.get('prepare', {}):
            raise ValueError(f'{path}: run {run.name}: nothing to prepare is called {run.prepare}')
    for title, table in plan['tables'].items():
        for row in table['rows']:
            alone = row.get('untrained') or row.get('no_checkpoint')
            if row.get('run') not in runs and not alone:
                raise ValueError(
                    f'{path}: table {title}, row {row["name"]!r}: run {row.get("run")!r} is '
                    f'none of {", ".join(runs)}'
                )
    return {**plan, 'runs': runs}


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest(config: str, options: dict[str, Any]) -> str:
    """Tells a config with its options from any other."""
    loaded = Config.fromfile(config_path(config))
    loaded.merge_from_dict(options)
    return short_hash(loaded.pretty_text)


def call(tool: str, arguments: list[str], options: dict[str, Any], log: Path) -> None:
    """Run a tool; its output goes to a file.

    Raises:
        RuntimeError: it failed; the message ends with its last lines.
    """
    command = [sys.executable, str(TOOLS / tool), *arguments]
    if options:
        command += ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = ''.join(log.read_text().splitlines(keepends=True)[-15:])
        raise RuntimeError(f'{" ".join(command)} ended with {done.returncode}:\n{tail}')


class Records:
    """Metrics of rows, one per line of a JSON file beside the plan, so that versions merge.

    Processes may share it. A row is known by its configs, options and seed, not by paths.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        return json.loads(self.path.read_text()) if self.path.is_file() else {}

    def add(self, key: str, record: dict[str, Any]) -> None:
        with FileLock(self.path.with_suffix('.lock')):
            records = {**self.read(), key: record}
            order = sorted(records, key=lambda one: (records[one]['name'], records[one]['seed']))
            lines = (f'{json.dumps(one)}: {json.dumps(records[one])}' for one in order)
            write_text(self.path, '{\n' + ',\n'.join(lines) + '\n}\n')


class Table:
    """Everything of one file below one working folder."""

    def __init__(
        self,
        path: Path,
        work_dir: Path,
        training: dict[str, Any] | None = None,
        report: bool = False,
    ) -> None:
        self.plan = read_plan(path)
        self.runs: dict[str, Run] = self.plan['runs']
        self.training = training or {}  # options of every training; not part of its key
        self.report = report  # nothing is run
        self.work_dir = work_dir / path.stem
        self.prepared: set[str] = set()
        self.records = Records(path.with_suffix('.json'))

    def folder(self, run: Run, seed: int) -> Path:
        return self.work_dir / run.name / f'seed{run.seed(seed)}'

    def checkpoint(self, name: str, seed: int) -> Path:
        """The last checkpoint of a finished run."""
        folder = self.folder(self.runs[name], seed)
        return Path((folder / 'last_checkpoint').read_text().strip())

    def options(self, options: dict[str, Any], seed: int) -> dict[str, Any]:
        """Options with ``{name}`` replaced by the checkpoint of that run."""
        return {
            key: re.sub(
                r'^\{(\w+)\}$', lambda match: str(self.checkpoint(match[1], seed)), str(value)
            )
            if isinstance(value, str)
            else value
            for key, value in options.items()
        }

    def needs(self, options: dict[str, Any]) -> list[str]:
        """The runs whose checkpoints the options name."""
        found = (re.fullmatch(r'\{(\w+)\}', str(value)) for value in options.values())
        return [match[1] for match in found if match]

    def key(self, name: str, seed: int) -> str:
        """Tells a training from others: its config, options and seed, and those it starts from."""
        run = self.runs[name]
        options = {**run.options, 'randomness.seed': run.seed(seed)}
        before = [self.key(other, seed) for other in self.needs(run.options)]
        if run.prepare is not None:
            before.append(self.prepared_key(run.prepare))
        return '-'.join([digest(run.config, options), *before])

    def prepared_key(self, name: str) -> str:
        """Tells what a tool makes from anything else: the step, and the trainings it reads."""
        step = self.plan['prepare'][name]
        before = [self.key(other, 0) for other in self.needs(step['arguments'])]
        return '-'.join([short_hash(json.dumps(step, sort_keys=True)), *before])

    def prepare(self, name: str) -> bool:
        """Run the tool that makes what a training reads; False if it has to wait for a run.

        What it made here before with another step or of other trainings is removed: tools that go
        on with their own work refuse to mix the two.
        """
        if name in self.prepared:
            return True
        step = self.plan['prepare'][name]
        if not all(self.train(run, 0) for run in self.needs(step['arguments'])):
            return False
        arguments = self.options(step['arguments'], 0)
        folder = self.work_dir / 'prepare'
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f'{name}.lock'):
            print(f'prepare {name}', flush=True)
            record, key, out = (
                folder / f'{name}.key',
                self.prepared_key(name),
                arguments.get('--out'),
            )
            if out and record.is_file() and record.read_text() != key:
                shutil.rmtree(out, ignore_errors=True)
            write_text(record, key)
            words = [str(word) for pair in arguments.items() for word in pair]
            call(step['tool'], words, {}, folder / f'{name}.log')
        self.prepared.add(name)
        return True

    def train(self, name: str, seed: int) -> bool:
        """Train a run and what it starts from; False if another process is at it."""
        run = self.runs[name]
        if not all(self.train(other, seed) for other in self.needs(run.options)):
            return False
        own = run.seed(seed)
        folder = self.folder(run, seed)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / '.lock', timeout=0):
                options = {**self.training, **self.options(run.options, seed)}
                options['randomness.seed'] = own
                record, key = folder / 'trained.json', self.key(name, seed)
                known = json.loads(record.read_text()) if record.is_file() else {}
                if known.get('config') == key and 'seconds' in known:
                    return True
                # The same config goes on where it was cut off; another one starts anew.
                resume = ['--resume'] if known.get('config') == key else []
                write_text(record, json.dumps(dict(config=key)))
                if run.prepare is not None and not self.prepare(run.prepare):
                    return False
                print(f'train {name}, seed {own} -> {folder}', flush=True)
                start = time.perf_counter()
                arguments = [config_path(run.config), '--work-dir', str(folder), *resume]
                call('train.py', list(map(str, arguments)), options, folder / 'train.log')
                seconds = time.perf_counter() - start
                write_text(record, json.dumps(dict(config=key, seconds=round(seconds))))
                print(f'  {seconds / 60:.1f} minutes', flush=True)
        except Timeout:
            print(f'train {name}, seed {own}: another process is at it', flush=True)
            return False
        return True

    def test(self, row: dict[str, Any], seed: int) -> dict[str, float] | None:
        """Metrics of a row; None if its training is not done."""
        run = self.runs.get(row.get('run'))
        config = row.get('config') or run.config
        options = {**row.get('options', {}), 'randomness.seed': seed}
        partners = self.needs(row.get('options', {}))  # trainings beside the row's own
        runs = [run.name, *partners] if run else partners
        key = '-'.join([digest(config, options), *(self.key(name, seed) for name in runs)])
        known = self.records.read().get(key)
        if known is not None:
            return known['metrics']
        if self.report or not all(self.train(name, seed) for name in runs):
            return None
        print(f'test {row["name"]}, seed {seed}', flush=True)
        folder = self.folder(run, seed) if run else self.work_dir / 'untrained' / f'seed{seed}'
        place = folder / 'tests' / key
        arguments = [str(config_path(config)), '--work-dir', str(place)]
        if not row.get('no_checkpoint'):
            checkpoint = self.checkpoint(run.name, seed) if run else self.untrained(config, folder)
            arguments.insert(1, str(checkpoint))
        call('test.py', arguments, self.options(options, seed), folder / 'test.log')
        metrics = {name: round(value, 5) for name, value in newest_metrics(place).items()}
        record = dict(name=row['name'], seed=seed, metrics=metrics)
        if run is not None and self.training:
            record['train_options'] = self.training
        self.records.add(key, record)
        return metrics

    def untrained(self, config: str, folder: Path) -> Path:
        """A checkpoint of the model as it is initialized."""
        import torch
        from mmengine.registry import MODELS, init_default_scope

        loaded = Config.fromfile(config_path(config))
        init_default_scope(loaded.default_scope)
        torch.manual_seed(int(folder.name.removeprefix('seed')))
        model = MODELS.build(loaded.model)
        model.init_weights()
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'untrained.pth')
        return folder / 'untrained.pth'

    def write(self, results: dict[str, list]) -> None:
        """Put the tables between their markers."""
        readme = Path(self.plan['readme'])
        text = readme.read_text()
        for name, rows in results.items():
            table = markdown(self.plan['tables'][name], rows)
            pattern = re.compile(MARKER.format(name=re.escape(name)), re.DOTALL)
            if not pattern.search(text):
                raise ValueError(f'{readme} has no line <!-- mini_table: {name} -->')
            text = pattern.sub(lambda match, table=table: match[1] + table + match[2], text)
        write_text(readme, text)
        print(f'{readme} written')


def newest_metrics(folder: Path) -> dict[str, float]:
    """What tools/test.py wrote to ``<time>/<time>.json``, but its own pace."""
    files = sorted(path for path in folder.glob('*/*.json') if path.stem == path.parent.name)
    if not files:
        raise RuntimeError(f'tools/test.py left no metrics in {folder}')
    metrics = json.loads(files[-1].read_text())
    return {name: value for name, value in metrics.items() if name not in ('time', 'data_time')}


def cell(values: list[float]) -> str:
    """'61.3 ± 2.0'; one value alone stands without a spread."""
    if not values:
        return '-'
    mean = f'{statistics.fmean(values):.1f}'
    return f'{mean} ± {statistics.stdev(values):.1f}' if len(values) > 1 else mean


def markdown(table: dict[str, Any], rows: list[tuple[str, list[dict]]]) -> str:
    """A table: the name of each row, then a cell per column; the last column counts the seeds."""
    columns, scale = table['columns'], table.get('scale', 1)
    lines = [f'| | {" | ".join(columns)} | seeds |', '|---' * (len(columns) + 2) + '|']
    for name, metrics in rows:
        cells = [cell([scale * m[key] for m in metrics if key in m]) for key in columns.values()]
        lines.append(f'| {name} | {" | ".join(cells)} | {len(metrics)} |')
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plan', type=Path, help='e.g. benchmarks/mini_world/lseg.yml')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--only', nargs='+', metavar='RUN', help="rows of these runs only, or of 'untrained' ones"
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'))
    parser.add_argument(
        '--train-options',
        nargs='+',
        action=DictAction,
        help='key=value for every training, what makes it faster and not another method, e.g. '
        'optim_wrapper.type=mmclip.BFloat16OptimWrapper; noted beside the metrics',
    )
    parser.add_argument(
        '--report', action='store_true', help='run nothing: the tables of what is done so far'
    )
    parser.add_argument('--no-readme', action='store_true', help='print the tables only')
    options = parser.parse_args(arguments)
    try:
        table = Table(options.plan, options.work_dir, options.train_options, options.report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f'reproduce: {error}', file=sys.stderr)
        return 1
    results: dict[str, list] = {name: [] for name in table.plan['tables']}
    failed = 0
    for name, content in table.plan['tables'].items():
        for row in content['rows']:
            if options.only and row.get('run', 'untrained') not in options.only:
                continue
            found = []
            for seed in options.seeds:
                try:
                    found.append(table.test(row, seed))
                except RuntimeError as error:
                    failed += 1
                    print(f'reproduce: {row["name"]}, seed {seed}: {error}', file=sys.stderr)
            results[name].append((row['name'], [metrics for metrics in found if metrics]))
        print(f'{name}\n{markdown(content, results[name])}', flush=True)
    if not options.no_readme and not options.only:
        table.write(results)
    return 1 if failed else 0


if __name__ == '__main__':
    user_errors.run(main)
