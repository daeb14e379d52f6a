"""benchmarks/reproduce.py: what is run, what is skipped, what stands in the README."""

import json
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAN = dict(
    runs=dict(
        start=dict(config='lseg/mini/start_r18_mini.py', seeds=1),
        model=dict(
            config='lseg/mini/lseg_r18_mini_supervised.py',
            options={'model.backbone.init_cfg.checkpoint': '{start}', 'train_cfg.max_iters': 3},
        ),
    ),
    tables=dict(
        main=dict(
            columns={'mIoU': 'seg/mIoU', 'seed': 'seed'},
            rows=[
                dict(name='LSeg', run='model'),
                dict(name='shuffled', run='model', config='lseg/mini/lseg_r18_mini_shuffled.py'),
            ],
        )
    ),
)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The module with train.py and test.py replaced by what they leave behind, and their calls."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    import reproduce

    calls = []

    def call(name, arguments, options, log):
        work_dir = Path(arguments[arguments.index('--work-dir') + 1])
        seed = options['randomness.seed']
        calls.append((name, Path(arguments[0]).stem, seed, dict(options), '--resume' in arguments))
        if name == 'train.py':
            if fail:
                raise RuntimeError('cut off')
            (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_3.pth'))
        else:
            folder = work_dir / 'now'
            folder.mkdir(parents=True, exist_ok=True)
            metrics = {'seg/mIoU': 10.0 + seed, 'seed': seed}
            (folder / 'now.json').write_text(json.dumps(metrics))

    fail = []
    monkeypatch.setattr(reproduce, 'call', call)
    reproduce.fail = fail
    reproduce.calls = calls
    yield reproduce
    sys.modules.pop('reproduce', None)


@pytest.fixture
def plan(tmp_path):
    readme = tmp_path / 'README.md'
    readme.write_text('before\n<!-- mini_table: main -->\nold\n<!-- /mini_table -->\nafter\n')
    path = tmp_path / 'lseg' / 'lseg.yml'
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(dict(readme=str(readme), **PLAN)))
    return path


def run(tool, plan, *more):
    return tool.main([str(plan), '--work-dir', str(plan.parent / 'work'), *more])


def test_trains_what_is_needed_once_and_writes_mean_and_spread(tool, plan):
    assert run(tool, plan, '--seeds', '0', '2') == 0
    trained = [call[:3] for call in tool.calls if call[0] == 'train.py']
    assert trained == [
        ('train.py', 'start_r18_mini', 0),  # one start for all seeds
        ('train.py', 'lseg_r18_mini_supervised', 0),
        ('train.py', 'lseg_r18_mini_supervised', 2),
    ]
    options = tool.calls[1][3]
    assert options['model.backbone.init_cfg.checkpoint'].endswith('start/seed0/iter_3.pth')
    text = (plan.parent.parent / 'README.md').read_text()
    assert '| LSeg | 11.0 ± 1.4 | 1.0 ± 1.4 | 2 |' in text
    assert text.startswith('before\n') and text.endswith('<!-- /mini_table -->\nafter\n')
    assert 'old' not in text


def test_a_second_time_nothing_is_run(tool, plan):
    run(tool, plan, '--seeds', '0')
    tool.calls.clear()
    assert run(tool, plan, '--seeds', '0') == 0
    assert tool.calls == []
    assert run(tool, plan, '--seeds', '0', '1') == 0
    assert {call[2] for call in tool.calls} == {1}, 'only the new seed is run'


def test_what_is_recorded_beside_the_plan_is_not_measured_again(tool, plan):
    run(tool, plan, '--seeds', '0')
    tool.calls.clear()
    assert tool.main([str(plan), '--work-dir', str(plan.parent / 'elsewhere'), '--seeds', '0']) == 0
    assert tool.calls == [], 'another working folder: the records stand beside the plan'
    records = plan.with_suffix('.json')
    lines = records.read_text().splitlines()
    assert len(lines) == 4 and '"name": "LSeg", "seed": 0' in lines[1], 'a line each'
    kept = json.loads(records.read_text())
    kept.pop(next(key for key, one in kept.items() if one['name'] == 'shuffled'))
    records.write_text(json.dumps(kept))
    run(tool, plan, '--seeds', '0')
    assert [call[:2] for call in tool.calls] == [('test.py', 'lseg_r18_mini_shuffled')]
    assert sorted(path.name for path in plan.parent.glob('lseg.*') if path.suffix != '.lock') == [
        'lseg.json',
        'lseg.yml',
    ]


def test_a_changed_config_is_run_anew_and_a_cut_off_training_goes_on(tool, plan):
    tool.fail.append(True)
    assert run(tool, plan, '--seeds', '0') == 1
    tool.fail.clear()
    tool.calls.clear()
    assert run(tool, plan, '--seeds', '0') == 0
    assert [(c[1], c[4]) for c in tool.calls if c[0] == 'train.py'] == [
        ('start_r18_mini', True),
        ('lseg_r18_mini_supervised', False),
    ]
    tool.calls.clear()
    content = yaml.safe_load(plan.read_text())
    content['runs']['model']['options']['train_cfg.max_iters'] = 4
    plan.write_text(yaml.safe_dump(content))
    assert run(tool, plan, '--seeds', '0') == 0
    assert [(c[0], c[1], c[4]) for c in tool.calls] == [
        ('train.py', 'lseg_r18_mini_supervised', False),
        ('test.py', 'lseg_r18_mini_supervised', False),
        ('test.py', 'lseg_r18_mini_shuffled', False),
    ]


def test_another_process_at_work_is_left_alone(tool, plan, capsys):
    from filelock import FileLock

    folder = plan.parent / 'work' / 'lseg' / 'start' / 'seed0'
    folder.mkdir(parents=True)
    with FileLock(folder / '.lock'):
        run(tool, plan, '--seeds', '0')
    assert tool.calls == []
    assert 'another process is at it' in capsys.readouterr().out


def test_what_a_training_reads_is_made_once_from_seed_0(tool, plan, tmp_path):
    content = yaml.safe_load(plan.read_text())
    content['runs']['start'] = dict(config='lseg/mini/start_r18_mini.py')
    content['runs']['model'] = dict(config='lseg/mini/lseg_r18_mini.py', prepare='store')
    content['prepare'] = dict(
        store=dict(
            tool='precompute_regions.py', arguments={'--checkpoint': '{start}', '--out': 'x'}
        )
    )
    plan.write_text(yaml.safe_dump(content))
    made = []
    usual = tool.call

    def call(name, arguments, options, log):
        if name == 'precompute_regions.py':
            made.append(arguments)
        else:
            usual(name, arguments, options, log)

    tool.call = call
    assert run(tool, plan, '--seeds', '1', '2') == 0
    [arguments] = made
    assert arguments[1].endswith('start/seed0/iter_3.pth') and arguments[2:] == ['--out', 'x']
    # Made anew of another teacher: what the first had made is in the way.
    out = tmp_path / 'x'
    out.mkdir()
    (out / 'old').touch()
    content['prepare']['store']['arguments']['--out'] = str(out)
    plan.write_text(yaml.safe_dump(content))
    assert run(tool, plan, '--seeds', '1') == 0
    assert len(made) == 2 and not out.exists()
    content['runs']['model']['prepare'] = 'shop'
    plan.write_text(yaml.safe_dump(content))
    assert run(tool, plan) == 1


def test_fractions_can_be_shown_as_per_cent(tool):
    table = dict(columns={'AP': 'ap'}, scale=100)
    assert tool.markdown(table, [('x', [dict(ap=0.5), dict(ap=0.7)])]).endswith(
        '| x | 60.0 ± 14.1 | 2 |\n'
    )


def test_bad_plans(tool, plan, capsys):
    content = yaml.safe_load(plan.read_text())
    content['tables']['main']['rows'].append(dict(name='x', run='modle'))
    plan.write_text(yaml.safe_dump(content))
    assert run(tool, plan) == 1
    assert "run 'modle' is none of model, start" in capsys.readouterr().err
    assert run(tool, plan.parent / 'none.yml') == 1


@pytest.mark.slow
def test_shipped_plans_name_runs_and_markers_that_exist(tool):
    plans = sorted(ROOT.glob('benchmarks/mini_world/*.yml'))
    assert len(plans) >= 7
    for path in plans:
        content = tool.read_plan(path)
        readme = (ROOT / content['readme']).read_text()
        for name, table in content['tables'].items():
            assert f'<!-- mini_table: {name} -->' in readme, (path, name)
            for row in table['rows']:
                if 'config' in row:
                    assert tool.digest(row['config'], row.get('options', {}))
        for one in content['runs'].values():
            assert tool.digest(one.config, one.options)


def test_cells(tool):
    assert tool.cell([]) == '-'
    assert tool.cell([12.34]) == '12.3'
    assert tool.cell([1.0, 3.0]) == '2.0 ± 1.4'


def test_options_for_every_training_are_given_to_no_test(tool, plan):
    assert run(tool, plan, '--seeds', '0', '--train-options', 'optim_wrapper.type=Half') == 0
    given = [(call[0], call[3].get('optim_wrapper.type')) for call in tool.calls]
    assert [kind for name, kind in given if name == 'train.py'] == ['Half', 'Half']
    assert {kind for name, kind in given if name == 'test.py'} == {None}
    records = json.loads(plan.with_suffix('.json').read_text()).values()
    assert {str(one['train_options']) for one in records} == {"{'optim_wrapper.type': 'Half'}"}
    tool.calls.clear()
    assert run(tool, plan, '--seeds', '0') == 0
    assert tool.calls == [], 'what makes a training faster makes it no other'


def test_a_report_runs_nothing_and_shows_what_is_done(tool, plan):
    readme = plan.parent.parent / 'README.md'
    assert run(tool, plan, '--seeds', '0', '1', '--report') == 0
    assert tool.calls == [] and '| LSeg | - | - | 0 |' in readme.read_text()
    run(tool, plan, '--seeds', '0')
    tool.calls.clear()
    assert run(tool, plan, '--seeds', '0', '1', '--report') == 0
    assert tool.calls == [] and '| LSeg | 10.0 | 0.0 | 1 |' in readme.read_text()


def test_only_some_rows(tool, plan, monkeypatch):
    content = yaml.safe_load(plan.read_text())
    row = dict(name='untrained', config='lseg/mini/lseg_r18_mini.py', untrained=True)
    content['tables']['main']['rows'].append(row)
    plan.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(tool.Table, 'untrained', lambda *_: Path('nothing.pth'))
    assert run(tool, plan, '--seeds', '0', '--only', 'untrained') == 0
    assert [call[:2] for call in tool.calls] == [('test.py', 'lseg_r18_mini')]
    assert 'old' in (plan.parent.parent / 'README.md').read_text(), 'a part is not written'
