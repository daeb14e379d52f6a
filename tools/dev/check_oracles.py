"""Compares our modules with what the official code computed.

    python tools/dev/check_oracles.py METHOD [--dir DIR] [--case GLOB]

DIR holds ``cases.json``, the fixtures and their sidecars. By default it is
``$MMCLIP_ORACLES/METHOD`` or, without that variable, ``../shared/oracles/METHOD`` beside the
checkout. Each case's weights go through the converter that a user runs on the official checkpoint.
Printed are one line per case::

    vit_forward   error 9.54e-07  bound 1.40e-05  ok

(error and bound of the worst tensor; a failing case lists every failing part below), and a last
line ``N passed, N failed``. The exit status is 1 if any case failed or has no adapter (cases of
kind ``info`` are documented, not checked), 2 if there is nothing to check.

Adapters live in ``tools/dev/oracles/<method>.py``; their interface is the docstring of
``tools/dev/oracles/case.py``.
"""

import argparse
import fnmatch
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from oracles.case import Case, Measure, judge  # noqa: E402  the path is set above


def default_folder(method: str) -> Path:
    """Where the fixtures of a method are unless ``--dir`` tells."""
    root = os.environ.get('MMCLIP_ORACLES')
    return (Path(root) if root else HERE.parents[2] / 'shared' / 'oracles') / method


def read_cases(folder: Path) -> list[Case]:
    """The cases that ``cases.json`` of a folder lists."""
    index = folder / 'cases.json'
    if not index.is_file():
        raise FileNotFoundError(
            f'there is no {index}; name the folder with --dir or set MMCLIP_ORACLES'
        )
    rows = json.loads(index.read_text())
    return [
        Case(row['name'], row['kind'], folder, tuple(row['files']), row.get('tolerance', {}))
        for row in rows
    ]


def find_adapters(method: str) -> dict[str, Callable]:
    """The adapters of a method; none if nobody wrote any yet."""
    name = f'oracles.{method}'
    if not (HERE / 'oracles' / f'{method}.py').is_file():
        return {}
    return importlib.import_module(name).ADAPTERS


def find_adapter(adapters: dict[str, Callable], name: str) -> Callable | None:
    """The adapter of a case: by its name, else by the longest glob that fits."""
    if name in adapters:
        return adapters[name]
    fitting = [glob for glob in adapters if fnmatch.fnmatchcase(name, glob)]
    return adapters[max(fitting, key=len)] if fitting else None


def check(case: Case, adapter: Callable) -> list[Measure]:
    """Run one adapter; random numbers that it draws are the same each time."""
    torch.manual_seed(0)
    return judge(case, adapter(case))


def _line(name: str, width: int, error: str, bound: str, verdict: str) -> str:
    return f'{name:<{width}}  error {error:>9}  bound {bound:>9}  {verdict}'


def run_case(case: Case, adapters: dict[str, Callable], width: int, trace: bool) -> bool | None:
    """Check and print one case; None for one that is not checked."""
    if case.kind == 'info':
        print(_line(case.name, width, '-', '-', 'info'))
        return None
    adapter = find_adapter(adapters, case.name)
    if adapter is None:
        print(_line(case.name, width, '-', '-', 'FAIL'))
        print('    no adapter')
        return False
    try:
        measures = check(case, adapter)
    except Exception as error:  # one broken case must not hide the others
        print(_line(case.name, width, '-', '-', 'FAIL'))
        print(f'    {type(error).__name__}: {error}')
        if trace:
            traceback.print_exc()
        return False
    worst = max(measures, key=lambda part: part.excess)
    passed = all(part.passed for part in measures)
    numbers = f'{worst.error:.2e}', f'{worst.bound:.2e}'
    print(_line(case.name, width, *numbers, 'ok' if passed else 'FAIL'))
    for part in measures:
        if not part.passed:
            print(f'    {part.name}: error {part.error:.3e} > {part.bound:.3e}')
    return passed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', help='a folder of mmclip/models, e.g. clip_zero_shot')
    parser.add_argument('--dir', type=Path, help='folder with cases.json')
    parser.add_argument('--case', default='*', help='glob over names of cases')
    parser.add_argument('--trace', action='store_true', help='tracebacks of adapters that raise')
    options = parser.parse_args(arguments)
    folder = options.dir or default_folder(options.method)
    try:
        cases = [c for c in read_cases(folder) if fnmatch.fnmatchcase(c.name, options.case)]
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if not cases:
        print(f'no case in {folder} is called {options.case}', file=sys.stderr)
        return 2
    adapters = find_adapters(options.method)
    width = max(len(case.name) for case in cases)
    verdicts = [run_case(case, adapters, width, options.trace) for case in cases]
    failed = verdicts.count(False)
    print(f'{verdicts.count(True)} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
