"""Every case of every method that has adapters, the larger ones where they are there."""

import filecmp
from pathlib import Path

import pytest

from parity import runner
from parity.case import Case


def cases_of(method: str) -> list:
    cases, _ = runner.read_cases(runner.default_folders(method))
    return [
        pytest.param(method, case, id=f'{method}-{case.name}')
        for case in cases
        if case.kind != 'info'
    ]


@pytest.mark.parametrize(('method', 'case'), [c for m in runner.methods() for c in cases_of(m)])
def test_case(method: str, case: Case):
    adapter = runner.find_adapter(runner.find_adapters(method), case.name)
    assert adapter is not None, 'no adapter'
    assert [part for part in runner.check(case, adapter) if not part.passed] == []


@pytest.mark.parametrize('folder', sorted(runner.FIXTURES.iterdir()), ids=lambda f: f.name)
def test_fixtures_are_small_and_those_of_the_larger_set(folder: Path):
    _, larger = runner.default_folders(folder.name)
    for path in folder.rglob('*'):
        if path.is_file():
            assert path.stat().st_size <= 200 * 1024, path
            if larger.is_dir():
                assert filecmp.cmp(path, larger / path.relative_to(folder), shallow=False), path
