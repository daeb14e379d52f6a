"""Measure what the tests prove: change one line of the package, and see whether a test fails.

    python tools/dev/mutants.py --seed 3 --count 100
    python tools/dev/mutants.py --seed 3 --count 20 --area 'models/vild' --cap 60

Draws one-line mutants over all areas of mmclip/ by a seed: bounds of comparisons, and/or, keywords
that are not handed on, clamps and casts that are left out, integers by one, errors that are not
raised, `not`. Each runs against the tests that should see it, those of its own file first, then
those that import its module, then those of its folder, until one fails or --cap seconds are over.
A kill counts only if that test passes without the mutant. Everything happens on a copy of what git
tracks. Prints a table by area and the survivors, and ends with 0: to judge them is the reader's.
"""

import argparse
import ast
import fnmatch
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
DROPPED_CALLS = {'clamp', 'clamp_', 'clip', 'float', 'detach', 'bool', 'long', 'copy', 'clone'}
# Imported once, for all mutants; nothing of mmclip, which each imports anew.
PRELOAD = ('torch', 'torchvision', 'cv2', 'mmengine.runner', 'mmcv.ops', 'transformers', 'pytest')


@dataclass(frozen=True)
class Mutant:
    """A change of one expression or statement.

    Attributes:
        path: File, relative to the repository.
        line: Its line, from 1.
        kind: What is changed.
        start, end: Offsets into the text, in bytes of UTF-8.
        before, after: The two texts.
    """

    path: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    @property
    def area(self) -> str:
        """``'io'``, ``'models/vild'``, …, or ``'.'`` for files of the package itself."""
        parts = Path(self.path).parts[1:-1]
        return '/'.join(parts[: 2 if parts[:1] == ('models',) else 1]) or '.'

    def apply(self, text: str) -> str:
        data = text.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(kind, node that takes its place) for all changes of one node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield (
            'comparison',
            ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators),
        )
    elif isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            ops = list(node.ops)
            ops[index] = COMPARISONS[type(op)]()
            yield 'comparison', ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield 'and/or', ast.BoolOp(other, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield 'not', node.operand
    elif isinstance(node, ast.Raise):
        yield 'raise', ast.Pass()
    elif isinstance(node, ast.Call):
        for index in range(len(node.keywords)):
            rest = node.keywords[:index] + node.keywords[index + 1 :]
            yield 'keyword', ast.Call(node.func, node.args, rest)
        if isinstance(node.func, ast.Attribute) and node.func.attr in DROPPED_CALLS:
            yield 'call', node.func.value
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            yield 'constant', ast.Constant(node.value + step)


def mutants(path: str, text: str) -> list[Mutant]:
    """All mutants of a file; those of annotations and decorators are none."""
    tree = ast.parse(text)
    data, starts = text.encode(), [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    skipped = set()
    for node in ast.walk(tree):
        parts = [getattr(node, name, None) for name in ('annotation', 'returns')]
        for part in [*parts, *getattr(node, 'decorator_list', [])]:
            if part is not None:
                skipped.update(map(id, ast.walk(part)))
        if isinstance(node, ast.JoinedStr | ast.FormattedValue):  # texts of messages
            skipped.update(map(id, ast.walk(node)))
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        for kind, changed in changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            before, after = data[start:end].decode(), ast.unparse(changed)
            found.append(Mutant(path, node.lineno, kind, start, end, before, after))
    return found


def draw(found: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Areas in turn; in each a kind, then one of it, so that no kind and no area rules."""
    rng, drawn = random.Random(seed), []
    areas: dict = defaultdict(lambda: defaultdict(list))
    for one in found:
        areas[one.area][one.kind].append(one)
    while areas and len(drawn) < count:
        for area in rng.sample(sorted(areas), len(areas)):
            kinds = areas[area]
            kind = rng.choice(sorted(kinds))
            drawn.append(kinds[kind].pop(rng.randrange(len(kinds[kind]))))
            if not kinds[kind]:
                del kinds[kind]
            if not kinds:
                del areas[area]
    return drawn[:count]


def tests_of(path: str, texts: dict[str, str]) -> list[str]:
    """Test files that should see a change of a file, the closest first.

    Args:
        path: File of the package.
        texts: Text of each test file by its path.
    """
    source = Path(path)
    module = '.'.join(source.with_suffix('').parts).removesuffix('.__init__')
    folder = Path('tests', *source.parts[1:-1])
    own = [str(folder / f'test_{source.stem}.py')]
    package, _, name = module.rpartition('.')
    spellings = (f'{module} ', f'{module}\n', f'from {package} import {name}', f'{module}.')
    importing = sorted(
        (name for name, text in texts.items() if any(word in text for word in spellings)),
        key=lambda name: (not name.startswith(str(folder)), len(texts[name]), name),
    )
    beside = [name for name in sorted(texts) if Path(name).parent == folder]
    return [name for name in dict.fromkeys(own + importing + beside) if name in texts]


class FirstFailure:
    """A plugin of pytest that writes the name of the first test that fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)

    def pytest_collectreport(self, report) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)


def run_tests(tree: Path, tests: list[str], cap: float) -> str | None:
    """Name of the first test that fails, '' if all pass, None if ``cap`` seconds are over."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, 'failed')
        child = os.fork()
        if child == 0:
            os.setsid()
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            import pytest

            options = ['-x', '-q', '-p', 'no:cacheprovider', '-m', 'not slow']
            code = pytest.main([*options, *tests], plugins=[FirstFailure(report)])
            os._exit(int(code))
        end = time.monotonic() + cap
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return report.read_text() if report.exists() else None
            time.sleep(0.05)
        return report.read_text() if report.exists() else ''


def copy_tree(target: Path) -> None:
    """Copy what git tracks, and link what an editable install links."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split('\0')):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    mim = target / 'mmclip' / '.mim'
    mim.mkdir(exist_ok=True)
    for name in ('configs', 'tools', 'model-index.yml'):
        (mim / name).symlink_to(target / name)
    subprocess.run('git init -q . && git add -A', shell=True, cwd=target, check=True)


def judge(tree: Path, one: Mutant, texts: dict[str, str], cap: float, sound: dict) -> str:
    """Run one mutant: ``'killed'``, ``'survived'``, ``'cap'`` or ``'no tests'``."""
    tests = tests_of(one.path, texts)
    if not tests:
        return 'no tests'
    file = tree / one.path
    plain = file.read_text()
    broken: list[str] = []
    while True:
        file.write_text(one.apply(plain))
        try:
            options = [f'--deselect={name}' for name in broken]
            failed = run_tests(tree, [*options, *tests], cap)
        finally:
            file.write_text(plain)
        if not failed:
            return 'cap' if failed is None else 'survived'
        if failed not in sound:  # does it pass without the mutant?
            sound[failed] = run_tests(tree, [failed], 4 * cap) == ''
        if sound[failed]:
            return 'killed'
        broken.append(failed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    parser.add_argument('--count', type=int, default=20, help='number of mutants')
    parser.add_argument('--area', default='*', help="a pattern: 'io', 'models/vild', 'models/*'")
    parser.add_argument('--cap', type=float, default=120, help='seconds of tests for each mutant')
    parser.add_argument('--list', action='store_true', help='print the mutants and run nothing')
    args = parser.parse_args()
    found = [
        one
        for path in sorted((ROOT / 'mmclip').rglob('*.py'))
        if '.mim' not in path.parts
        for one in mutants(str(path.relative_to(ROOT)), path.read_text())
        if fnmatch.fnmatch(one.area, args.area)
    ]
    if not found:
        parser.error(f'--area: nothing to change in {args.area!r}')
    drawn = draw(found, args.count, args.seed)
    shown = {one: f'{one.path}:{one.line}: {one.before} -> {one.after}' for one in drawn}
    if args.list:
        print('\n'.join(f'{one.kind}: {" ".join(shown[one].split())}' for one in drawn))
        return
    os.environ.update(OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1')
    sys.dont_write_bytecode = True  # a stale file of the same second would be taken
    for name in PRELOAD:
        __import__(name)
    tally: dict[str, Counter] = defaultdict(Counter)
    alive, sound = [], {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        copy_tree(tree)
        files = tree.glob('tests/**/test_*.py')
        texts = {str(path.relative_to(tree)): path.read_text() for path in files}
        os.environ['PYTHONPATH'] = str(tree)
        for number, one in enumerate(drawn, start=1):
            verdict = judge(tree, one, texts, args.cap, sound)
            tally[one.area][verdict] += 1
            line = f'{verdict}: {" ".join(shown[one].split())}'
            print(f'[{number}/{len(drawn)}] {line}', flush=True)
            if verdict != 'killed':
                alive.append(line)
    columns = ('killed', 'survived', 'cap', 'no tests')
    print(f'\n{"area":22}' + ''.join(f'{name:>10}' for name in columns))
    for area, counts in sorted(tally.items()):
        print(f'{area:22}' + ''.join(f'{counts[name]:10}' for name in columns))
    total = sum(tally.values(), Counter())
    print(f'{"total":22}' + ''.join(f'{total[name]:10}' for name in columns))
    print('\nnot killed:\n' + '\n'.join(alive))


if __name__ == '__main__':
    main()
