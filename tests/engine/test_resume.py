"""A run that is cut off at any moment and goes on ends as if it had never stopped."""

import os
import pickle
import signal
import time
from pathlib import Path

import pytest
import torch
from toy_runs import Tool, checkpoint, differences, order, run, write_config

KINDS = {
    'iterations': dict(),
    'iterations, workers, finite sampler': dict(workers=2, sampler='DefaultSampler'),
    'epochs, workers': dict(epochs=True, workers=2),
}


def cut(at: int, number: int, what: str = 'train') -> str:
    """A change of a config: the process gets a signal at an iteration."""
    hook = dict(type='ToySignal', at=at, number=int(number), what=what)
    return f'custom_hooks.append({hook})\n'


@pytest.fixture(scope='module', params=KINDS)
def whole(request, tmp_path_factory):
    """The settings of a run and its work dir, uninterrupted."""
    folder = tmp_path_factory.mktemp('whole')
    settings = KINDS[request.param]
    config = write_config(folder, **settings)
    run('tools/train.py', config, '--work-dir', folder / 'run', cwd=folder)
    return settings, folder / 'run'


def last_name(work_dir: Path) -> str:
    return os.readlink(work_dir / 'last.pth')


# Within an interval; while a checkpoint is written; during a validation.
@pytest.mark.parametrize('what', ['train', 'save', 'val'])
def test_killed_and_resumed_ends_with_the_same_bits(whole, what, tmp_path):
    settings, reference = whole
    at = 8 if what == 'train' else (12 if settings.get('epochs') else 10)
    config = write_config(tmp_path, **settings, more=cut(at, signal.SIGKILL, what))
    work_dir = tmp_path / 'run'
    run('tools/train.py', config, '--work-dir', work_dir, cwd=tmp_path, code=-signal.SIGKILL)
    config = write_config(tmp_path, **settings)
    output = run('tools/train.py', config, '--work-dir', work_dir, '--resume', cwd=tmp_path)
    # Only a validation that was not finished is done again.
    assert ('cut off before this validation' in output) == (what == 'val')
    name = last_name(reference)
    assert last_name(work_dir) == name
    assert differences(work_dir / name, reference / name) == []
    assert order(work_dir) == order(reference)
    assert {p.name for p in work_dir.glob('*.pth')} == {p.name for p in reference.glob('*.pth')}
    ours, theirs = (checkpoint(d / name)['message_hub'] for d in (work_dir, reference))
    assert ours['runtime_info']['best_score'] == theirs['runtime_info']['best_score']
    assert not list(work_dir.glob('.*'))


@pytest.mark.parametrize('what', ['train', 'val'])
def test_sigterm_saves_at_once_and_the_run_goes_on_exactly(whole, what, tmp_path):
    settings, reference = whole
    at = {'train': 8, 'val': 12 if settings.get('epochs') else 10}[what]
    config = write_config(tmp_path, **settings, more=cut(at, signal.SIGTERM, what))
    work_dir = tmp_path / 'run'
    output = run('tools/train.py', config, '--work-dir', work_dir, cwd=tmp_path, code=75)
    assert 'SIGTERM: saved' in output
    assert (work_dir / 'last.pth').exists()
    assert checkpoint(work_dir / 'last.pth')['meta']['iter'] == at
    config = write_config(tmp_path, **settings)
    run('tools/train.py', config, '--work-dir', work_dir, '--resume', cwd=tmp_path)
    name = last_name(reference)
    assert differences(work_dir / name, reference / name) == []
    assert order(work_dir) == order(reference)


def test_the_number_of_workers_does_not_matter(whole, tmp_path):
    settings, reference = whole
    settings = {**settings, 'workers': 2 - settings.get('workers', 0)}
    config = write_config(tmp_path, **settings)
    run('tools/train.py', config, '--work-dir', tmp_path / 'run', cwd=tmp_path)
    assert order(tmp_path / 'run') == order(reference)


def test_a_data_set_that_answers_in_order_is_brought_to_its_place(tmp_path):
    more = "train_dataloader['dataset'] = dict(type='ToyStream')\n"
    run('tools/train.py', write_config(tmp_path, more=more), '--work-dir', 'a', cwd=tmp_path)
    cut_off = write_config(tmp_path, more=more + cut(8, signal.SIGTERM))
    run('tools/train.py', cut_off, '--work-dir', 'b', cwd=tmp_path, code=75)
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path)
    assert order(tmp_path / 'b') == order(tmp_path / 'a')
    assert differences(tmp_path / 'b/last.pth', tmp_path / 'a/last.pth') == []


@pytest.mark.parametrize('epochs', [False, True])
def test_so_is_one_that_is_joined_with_others(epochs, tmp_path):
    inner = "dict(type='RepeatDataset', times=2, dataset=dict(type='ToyShards'))"
    parts = f"[dict(type='ToyDataset'), {inner}]"
    more = f"train_dataloader['dataset'] = dict(type='ConcatDataset', datasets={parts})\n"
    # 17 batches an epoch: the second one begins with the same worker nevertheless.
    settings = dict(epochs=epochs, workers=2, sampler='DefaultSampler')
    config = write_config(tmp_path, **settings, more=more)
    run('tools/train.py', config, '--work-dir', 'a', cwd=tmp_path)
    config = write_config(tmp_path, **settings, more=more + cut(18, signal.SIGTERM))
    run('tools/train.py', config, '--work-dir', 'b', cwd=tmp_path, code=75)
    config = write_config(tmp_path, **settings, more=more)
    run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path)
    assert order(tmp_path / 'b') == order(tmp_path / 'a')
    assert differences(tmp_path / 'b/last.pth', tmp_path / 'a/last.pth') == []


def test_gradients_that_accumulate_are_not_cut(tmp_path):
    more = "optim_wrapper['accumulative_counts'] = 3\n"
    run('tools/train.py', write_config(tmp_path, more=more), '--work-dir', 'a', cwd=tmp_path)
    cut_off = write_config(tmp_path, more=more + cut(8, signal.SIGTERM))
    run('tools/train.py', cut_off, '--work-dir', 'b', cwd=tmp_path, code=75)
    assert checkpoint(tmp_path / 'b/last.pth')['meta']['iter'] == 9
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path)
    assert differences(tmp_path / 'b/last.pth', tmp_path / 'a/last.pth') == []


def test_a_second_sigterm_ends_at_once_and_workers_hear_none(tmp_path):
    config = write_config(tmp_path, workers=2, more="model['sleep'] = 60.0\n")
    tool = Tool('tools/train.py', config, '--work-dir', 'run', cwd=tmp_path)
    while 'Checkpoints will be saved' not in tool.output():
        time.sleep(0.1)
    time.sleep(1)
    workers = Path(f'/proc/{tool.pid}/task/{tool.pid}/children').read_text().split()
    assert len(workers) >= 2
    tool.kill(signal.SIGTERM)
    for worker in workers:
        os.kill(int(worker), signal.SIGTERM)
    time.sleep(2.5)
    assert tool.processes[0].exitcode is None
    tool.kill(signal.SIGTERM)
    tool.wait(code=75)


@pytest.mark.slow
def test_two_processes_train_resume_and_test_as_one_run(tmp_path):
    more = 'randomness = dict(seed=0, diff_rank_seed=True)\n'
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'a', cwd=tmp_path, processes=2)
    # Only the second rank gets the signal; both save and leave.
    hook = dict(type='ToySignal', at=8, rank=1)
    config = write_config(tmp_path, more=f'{more}custom_hooks.append({hook})\n')
    run('tools/train.py', config, '--work-dir', 'b', cwd=tmp_path, processes=2, code=75)
    assert checkpoint(tmp_path / 'b/last.pth')['meta']['iter'] == 8
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path, processes=2)
    assert differences(tmp_path / 'b/iter_20.pth', tmp_path / 'a/iter_20.pth') == []
    for rank in (0, 1):
        assert order(tmp_path / 'b', rank) == order(tmp_path / 'a', rank)
    assert order(tmp_path / 'a', 0) != order(tmp_path / 'a', 1)
    states = checkpoint(tmp_path / 'a/iter_20.pth')['message_hub']['runtime_info']['random_states']
    assert len(states) == 2
    assert not torch.equal(states[0]['torch'], states[1]['torch'])
    args = ('tools/test.py', config, 'a/last.pth', '--out', 'both.pkl', '--work-dir', 't')
    run(*args, cwd=tmp_path, processes=2)
    run(*args[:4], 'one.pkl', '--work-dir', 't', cwd=tmp_path)
    both, one = (pickle.loads((tmp_path / name).read_bytes()) for name in ('both.pkl', 'one.pkl'))
    torch.testing.assert_close(torch.stack(both), torch.stack(one))
    assert not list(tmp_path.glob('.*partial*'))


@pytest.mark.slow
def test_sharded_training_saves_and_resumes(tmp_path):
    more = (
        "runner_type = 'FlexibleRunner'\n"
        "strategy = dict(type='FSDPStrategy', model_wrapper=dict(auto_wrap_policy="
        "dict(type='mmengine.size_based_auto_wrap_policy', min_num_params=20)))\n"
        "custom_hooks = [dict(type='ToyLog')]\n"
        'param_scheduler.pop()\n'
    )
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'a', cwd=tmp_path, processes=2)
    cut_off = write_config(tmp_path, more=more + cut(10, signal.SIGTERM, 'val'))
    run('tools/train.py', cut_off, '--work-dir', 'b', cwd=tmp_path, processes=2, code=75)
    config = write_config(tmp_path, more=more)
    run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path, processes=2)
    assert differences(tmp_path / 'b/iter_20.pth', tmp_path / 'a/iter_20.pth') == []
    for rank in (0, 1):
        assert order(tmp_path / 'b', rank) == order(tmp_path / 'a', rank)
    # Ordinary weights: one process tests them.
    run('tools/test.py', write_config(tmp_path), 'a/last.pth', '--work-dir', 't', cwd=tmp_path)
