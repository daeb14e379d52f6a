"""The oracle runner: the error rule by hand, what it prints, and what makes it fail."""

import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch

from parity import runner
from parity.case import Case, Comparison, Measure, compare_keys, judge, measure

TOLERANCE = dict(rtol=1e-2, atol=1e-3)


def error_of(ours, reference, tolerance=TOLERANCE, **options) -> Measure:
    return measure(Comparison('x', ours, reference, **options), tolerance)


def test_bound_is_atol_plus_rtol_times_the_largest_magnitude():
    reference = torch.tensor([1.0, -5.0])
    result = error_of(reference + torch.tensor([0.05, 0.0]), reference)
    assert result.bound == pytest.approx(0.051) and result.error == pytest.approx(0.05)
    assert result.passed
    assert not error_of(reference + 0.0511, reference).passed


@pytest.mark.parametrize('special', [1e6, -1e6, math.inf, -math.inf, math.nan])
def test_sentinels_are_equal_and_do_not_set_the_scale(special):
    reference = torch.tensor([special, 2.0])
    assert error_of(reference.clone(), reference).bound == pytest.approx(0.021)
    assert error_of(torch.tensor([special, 2.02]), reference).passed
    assert not error_of(torch.tensor([special, 2.03]), reference).passed
    assert not error_of(torch.tensor([7.0, 2.0]), reference).passed
    assert not error_of(reference, torch.tensor([2.0, 2.0])).passed


@pytest.mark.parametrize(
    ('ours', 'reference'),
    [
        (torch.tensor([1, 2]), torch.tensor([1, 3])),
        (torch.tensor([True]), torch.tensor([False])),
        ('a', 'b'),
        ([1, 'a'], [1, 'b']),
        ([1, 2], [1, 2, 3]),
        ({'a': 1}, {'b': 1}),
        (None, 0),
        (torch.zeros(2), torch.zeros(3)),
        (torch.zeros(0), torch.zeros(1)),
        (torch.tensor([math.nan]), torch.tensor([0.0])),
        (0.0, 'a'),
    ],
)
def test_differences_that_no_tolerance_excuses(ours, reference):
    assert not error_of(ours, reference, dict(rtol=1e9, atol=1e9)).passed


@pytest.mark.parametrize(
    ('ours', 'reference'),
    [
        ([1, 2], torch.tensor([1, 2])),
        ('a', 'a'),
        ([], []),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        ({'a': [0.1, None, 'x']}, {'a': [0.1001, None, 'x']}),
        (torch.tensor([3.0]), torch.tensor([3])),
        (torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float16)),
    ],
)
def test_what_is_equal_enough(ours, reference):
    assert error_of(ours, reference).passed


def test_exact_and_unknown_tolerances():
    ours, reference = torch.tensor([1.0, 1.0 + 1e-7]), torch.ones(2)
    assert not error_of(ours, reference, dict(exact=True)).passed
    assert error_of(reference, reference, dict(exact=True)).passed
    with pytest.raises(ValueError, match='return a Measure'):
        error_of(ours, reference, dict(coverage_max_abs=0.3))


def test_negative_controls_must_differ():
    assert not error_of(torch.ones(2), torch.ones(2), differ=True).passed
    assert error_of(torch.ones(2), torch.zeros(2), differ=True).passed


# -- whole cases ----------------------------------------------------------------------------------


def make_case(folder: Path, sidecar: dict | None = None, **tensors: torch.Tensor) -> Case:
    tensors = {k.replace('__', '/'): v for k, v in tensors.items()}
    safetensors.torch.save_file(tensors, folder / 'a.safetensors')
    (folder / 'a.json').write_text(json.dumps(sidecar or dict(config=dict(dim=3))))
    row = dict(
        name='a', kind='tensors', files=['a.safetensors', 'a.json'], tolerance=dict(TOLERANCE)
    )
    (folder / 'cases.json').write_text(json.dumps([row]))
    ((case,), absent) = runner.read_cases([folder])
    assert not absent
    return case


def test_case_reads_its_files(tmp_path):
    case = make_case(
        tmp_path,
        state__w=torch.ones(1),
        input__x=torch.ones(2),
        output__y=torch.ones(3),
    )
    assert case.config == dict(dim=3)
    assert list(case.state) == ['w'] and list(case.inputs) == ['x'] and list(case.outputs) == ['y']
    assert case.path('.json') == tmp_path / 'a.json'
    with pytest.raises(ValueError, match='0 files'):
        case.path('.bin')


def test_sidecar_tolerance_overrules(tmp_path):
    case = make_case(tmp_path, dict(tolerance=dict(atol=0.5)), output__y=torch.ones(1))
    assert case.tolerance == dict(rtol=1e-2, atol=0.5)


def test_every_output_is_answered(tmp_path):
    case = make_case(tmp_path, output__y=torch.ones(1), output__z=torch.ones(1))
    (y, z) = judge(case, dict(y=torch.ones(1)))
    assert y.passed and not z.passed and 'not answered' in z.name
    assert all(m.passed for m in judge(case, [Measure('y', 0.1, 0.2, covers=('z',))]))
    with pytest.raises(ValueError, match='no outputs'):
        judge(case, dict(y=torch.ones(1), q=torch.ones(1)))
    with pytest.raises(ValueError, match='nothing'):
        judge(Case('v', 'values', tmp_path, ('a.json',)), [])


def test_keys(tmp_path):
    (tmp_path / 'k.json').write_text(json.dumps({'w': [2, 3], 'b': ['float32', [2]], 's': []}))
    case = Case('k', 'keys', tmp_path, ('k.json',))
    assert case.key_shapes == {'w': (2, 3), 'b': (2,), 's': ()}
    state = case.key_state()
    assert state['w'].is_meta and state['w'].shape == (2, 3)
    model = torch.nn.Linear(3, 2)
    named = dict(weight=state['w'], bias=state['b'])
    assert all(m.passed for m in judge(case, compare_keys(named, model)))
    named['bias'] = state['w']
    assert not all(m.passed for m in judge(case, compare_keys(named, model)))


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command on two cases with given adapters; returns the status and the lines."""
    rows = []
    for name in ('first', 'second'):
        safetensors.torch.save_file({'output/y': torch.ones(2)}, tmp_path / f'{name}.safetensors')
        rows.append(
            dict(name=name, kind='tensors', files=[f'{name}.safetensors'], tolerance=TOLERANCE)
        )
    rows.append(dict(name='note', kind='info', files=[]))
    (tmp_path / 'cases.json').write_text(json.dumps(rows))

    def command(adapters: dict, *arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(runner, 'find_adapters', lambda method: adapters)
        status = runner.main(['m', '--dir', str(tmp_path), *arguments])
        return status, capsys.readouterr().out.splitlines()

    return command


def right(case):
    return dict(y=torch.ones(2))


def wrong(case):
    return dict(y=torch.full((2,), 1.5))


def broken(case):
    raise KeyError('weight')


def test_all_pass(run):
    status, lines = run({'*': right})
    assert status == 0 and lines[-1] == '2 passed, 0 failed'
    assert lines[0].split() == ['first', 'error', '0.00e+00', 'bound', '1.10e-02', 'ok']
    assert lines[2].split()[-1] == 'info'


@pytest.mark.parametrize(
    ('adapters', 'text'),
    [
        ({'*': right, 'first': wrong}, 'y: error 5.000e-01'),
        ({'*': right, 'first': broken}, "KeyError: 'weight'"),
        ({'second': right}, 'no adapter'),
    ],
)
def test_one_failure_is_told_and_the_rest_goes_on(run, adapters, text):
    status, lines = run(adapters)
    assert status == 1 and lines[-1] == '1 passed, 1 failed'
    assert lines[0].split()[0] == 'first' and lines[0].split()[-1] == 'FAIL'
    assert text in lines[1]


def test_choice_of_cases(run, capsys):
    status, lines = run({'*': right}, '--case', 'sec*')
    assert status == 0 and lines[-1] == '1 passed, 0 failed'
    assert run({'*': right}, '--case', 'third')[0] == 2


def test_no_fixtures(tmp_path, capsys, monkeypatch):
    assert runner.main(['m', '--dir', str(tmp_path)]) == 2
    assert 'MMCLIP_ORACLES' in capsys.readouterr().err
    monkeypatch.setenv('MMCLIP_ORACLES', '/there')
    assert runner.default_folders('m')[1] == Path('/there/m')


def test_the_longest_glob_wins():
    adapters = {'*': 1, 'full_*': 2, 'full_keys': 3}
    found = [runner.find_adapter(adapters, n) for n in ('a', 'full_x', 'full_keys')]
    assert found == [1, 2, 3]
    assert runner.find_adapter({}, 'a') is None


def test_a_method_without_adapters():
    assert runner.find_adapters('nothing_of_that_name') == {}
