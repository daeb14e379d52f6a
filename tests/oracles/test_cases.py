"""Every case of every method that has adapters, from copies in the tests where there are any."""

from pathlib import Path

import check_oracles
import pytest
from oracles.case import Case

HERE = Path(check_oracles.__file__).parent / 'oracles'
COPIES = Path(__file__).resolve().parents[1] / 'data' / 'oracles'
METHODS = sorted(p.stem for p in HERE.glob('*.py') if p.stem != 'case' and p.stem[0] != '_')


def cases_of(method: str) -> list:
    folders = [COPIES / method, check_oracles.default_folder(method)]
    found = {}
    for folder in reversed(folders):  # where there is a copy it is taken
        if (folder / 'cases.json').is_file():
            found.update({case.name: case for case in check_oracles.read_cases(folder)})
    return [
        pytest.param(method, case, id=f'{method}-{name}')
        for name, case in found.items()
        if case.kind != 'info'
    ]


@pytest.mark.parametrize(('method', 'case'), [c for m in METHODS for c in cases_of(m)])
def test_case(method: str, case: Case):
    adapter = check_oracles.find_adapter(check_oracles.find_adapters(method), case.name)
    assert adapter is not None, 'no adapter'
    assert [part for part in check_oracles.check(case, adapter) if not part.passed] == []


@pytest.mark.parametrize('method', METHODS)
def test_copies_are_small(method: str):
    sizes = {p.name: p.stat().st_size for p in (COPIES / method).rglob('*') if p.is_file()}
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}
