"""Compares our modules with what the official code computed.

    python -m parity METHOD [--dir DIR] [--case GLOB]

Without ``--dir`` the cases are those of ``parity/fixtures/METHOD``. The larger ones among them lie
beside the repository only: in ``$MMCLIP_ORACLES/METHOD`` or, without that variable, in
``../shared/oracles/METHOD``; where they are not there, a line says how many were left out. DIR is
one folder with a ``cases.json``, all of whose cases must be there.

Each case's weights go through the converter that a user runs on the official checkpoint. Printed
are one line per case::

    vit_forward   error 9.54e-07  bound 1.40e-05  ok

(error and bound of the worst tensor; a failing case lists every failing part below), and a last
line ``N passed, N failed``. The exit status is 1 if any case failed or has no adapter (cases of
kind ``info`` are documented, not checked), 2 if there is nothing to check.

Adapters live in ``parity/adapters/<method>.py``; their interface is the docstring of
``parity/case.py``.
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

from parity.case import Case, Measure, judge

HERE = Path(__file__).resolve().parent
FIXTURES = HERE / 'fixtures'


def default_folders(method: str) -> list[Path]:
    """Where the fixtures of a method are unless ``--dir`` tells; the larger ones in the second."""
    root = os.environ.get('MMCLIP_ORACLES')
    larger = Path(root) if root else HERE.parents[1] / 'shared' / 'oracles'
    return [FIXTURES / method, larger / method]


def read_cases(folders: list[Path]) -> tuple[list[Case], list[str]]:
    """The cases that the ``cases.json`` of the folders list, each with its files in one of them.

    Returns:
        The cases whose files are there, and the names of those whose files are not.
    """
    indices = [folder / 'cases.json' for folder in folders if (folder / 'cases.json').is_file()]
    if not indices:
        places = ' or '.join(str(folder / 'cases.json') for folder in folders)
        raise FileNotFoundError(
            f'there is no {places}; name the folder with --dir or set MMCLIP_ORACLES'
        )
    rows = {}
    for index in reversed(indices):
        rows.update({row['name']: row for row in json.loads(index.read_text())})
    cases, absent = [], []
    for name, row in rows.items():
        files = tuple(row['files'])
        complete = (f for f in folders if all((f / file).exists() for file in files))
        folder = next(complete, None)
        if folder is None:
            absent.append(name)
        else:
            cases.append(Case(name, row['kind'], folder, files, row.get('tolerance', {})))
    return cases, absent


def methods() -> list[str]:
    """The methods that have adapters."""
    names = (path.stem for path in (HERE / 'adapters').iterdir())
    return sorted(name for name in names if not name.startswith('_'))


def find_adapters(method: str) -> dict[str, Callable]:
    """The adapters of a method; none if nobody wrote any yet."""
    if method not in methods():
        return {}
    return importlib.import_module(f'parity.adapters.{method}').ADAPTERS


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
    folders = [options.dir] if options.dir else default_folders(options.method)
    try:
        cases, absent = read_cases(folders)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    cases = [case for case in cases if fnmatch.fnmatchcase(case.name, options.case)]
    absent = fnmatch.filter(absent, options.case)
    if not cases and not absent:
        print(f'no case in {folders[0]} is called {options.case}', file=sys.stderr)
        return 2
    adapters = find_adapters(options.method)
    width = max(len(name) for name in [*absent, *(case.name for case in cases)])
    verdicts = [run_case(case, adapters, width, options.trace) for case in cases]
    failed = verdicts.count(False)
    if options.dir:  # a folder that was named must be complete
        for name in absent:
            print(_line(name, width, '-', '-', 'FAIL'))
            print('    its files are not there')
        failed += len(absent)
    elif absent:
        print(f'{len(absent)} larger cases are not here; MMCLIP_ORACLES names the folder of all')
    print(f'{verdicts.count(True)} passed, {failed} failed')
    return 1 if failed else 0
