"""Run a host's own tests plain and with mmclip imported first; nothing may break.

    python tools/dev/host_tests.py CHECKOUT tests/test_config tests/test_hooks ...

Each path is one process: the files of a folder share one import of the host. CHECKOUT is a folder
with the sources of the installed version of mmengine, mmcv, mmdetection, mmsegmentation or
mmaction2; paths are relative to it. Prints the tests whose outcome differs, and ends with 1 if one
that passes plain does not pass with mmclip, or if pytest did not end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = 'mmclip_first'


def outcomes(checkout: Path, paths: list[str], plugin: Path | None, timeout: float) -> dict:
    """Test -> 'passed', 'failed' or 'skipped'; each path in a process of its own."""
    found: dict[str, str] = {}
    env = dict(os.environ, OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', TRANSFORMERS_OFFLINE='1')
    options = ['-p', PLUGIN] if plugin else []
    env['PYTHONPATH'] = os.pathsep.join(
        [str(checkout), *([str(plugin), str(ROOT)] if plugin else [])]
    )
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, 'report.xml')
            command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *options]
            # Without the options of the host's own set-up, whose plugins may not be here.
            command += ['-o', 'addopts=', '--continue-on-collection-errors']
            try:
                subprocess.run(
                    [*command, f'--junitxml={report}', path],
                    cwd=checkout,
                    env=env,
                    capture_output=True,
                    timeout=timeout,
                )
            except subprocess.TimeoutExpired:
                found[path] = 'timeout'
            if not report.is_file():
                found.setdefault(path, 'no report')
                continue
            for case in ElementTree.parse(report).iter('testcase'):
                kinds = {child.tag for child in case}
                name = f'{case.get("classname")}::{case.get("name")}'
                bad = kinds & {'failure', 'error'}
                found[name] = 'failed' if bad else 'skipped' if 'skipped' in kinds else 'passed'
    return found


def compare(plain: dict[str, str], first: dict[str, str]) -> tuple[list[str], list[str]]:
    """Tests that only pass plain, and those that only pass with mmclip."""
    broken = [name for name, one in plain.items() if one == 'passed' != first.get(name)]
    cured = [name for name, one in first.items() if one == 'passed' != plain.get(name)]
    return broken, cured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkout', type=Path, help="folder of the host's sources")
    parser.add_argument('paths', nargs='+', help='test files or folders, relative to it')
    parser.add_argument('--timeout', type=float, default=300, help='seconds for each path')
    args = parser.parse_args()
    missing = [path for path in args.paths if not (args.checkout / path).exists()]
    if missing:
        parser.error(f'{args.checkout} holds no {", ".join(missing)}')
    places = [args.checkout / path for path in args.paths]
    files = {file for at in places for file in ([at] if at.is_file() else at.rglob('test_*.py'))}
    checkout = args.checkout.resolve()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f'{PLUGIN}.py').write_text('import mmclip  # noqa: F401\n')
        plain = outcomes(checkout, args.paths, None, args.timeout)
        first = outcomes(checkout, args.paths, Path(folder), args.timeout)
    broken, cured = compare(plain, first)
    for title, names in (('broken', broken), ('cured', cured)):
        for name in names:
            print(f'{title}: {name} ({plain.get(name)} -> {first.get(name)})')
    for title, found in (('plain', plain), ('mmclip first', first)):
        kinds = sorted(set(found.values()))
        counts = ', '.join(f'{list(found.values()).count(kind)} {kind}' for kind in kinds)
        print(f'{title}: {counts}')
    print(f'{len(files)} files: {len(broken)} broken, {len(cured)} cured')
    lost = [path for path in args.paths if path in plain | first]
    if lost:
        print(f'not compared, since pytest did not end there: {", ".join(lost)}')
    sys.exit(1 if broken or lost else 0)


if __name__ == '__main__':
    main()
