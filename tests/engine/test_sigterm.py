"""SIGTERM at any moment of tools/train.py ends with 75; its workers hear no foreign one."""

import os
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from toy_runs import ROOT, differences, order, run, write_config

from mmclip.engine import sigterm

CALL = 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)\n'


def call_at(module: str, name: str) -> str:
    """Lines of a config: the process gets SIGTERM when it calls a function."""
    return (
        'def _patch():\n'
        '    import importlib, os, signal\n'
        f'    module = importlib.import_module({module!r})\n'
        f'    owner, name = module, {name!r}\n'
        "    while '.' in name:\n"
        "        first, name = name.split('.', 1)\n"
        '        owner = getattr(owner, first)\n'
        '    plain = getattr(owner, name)\n'
        '    def signalled(*args, **kwargs):\n'
        '        os.kill(os.getpid(), signal.SIGTERM)\n'
        '        return plain(*args, **kwargs)\n'
        '    setattr(owner, name, signalled)\n'
        '_patch()\n'
        'del _patch\n'
    )


def test_the_first_lines_of_the_tool_install_the_handler_without_an_import(tmp_path):
    code = tmp_path / 'code'
    # argparse is the first import after the handler's lines: the signal comes in the middle of it.
    (tmp_path / 'argparse.py').write_text(CALL)
    process = subprocess.run(
        [sys.executable, str(ROOT / 'tools/train.py'), 'no_config.py'],
        env={**os.environ, 'MMCLIP_EXIT_CODE_FILE': str(code), 'PYTHONPATH': str(tmp_path)},
        cwd=tmp_path,
        timeout=60,
    )
    assert process.returncode == 75
    assert code.read_text() == '75'


# While the config is read, the dataset is built, the config is written, after training.
@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('mmclip.engine.preflight', 'check'),
        ('toy_parts', 'ToyDataset.load_data_list'),
        ('mmengine.runner', 'Runner.load_or_resume'),
        ('mmengine.config', 'Config.to_dict'),
        ('mmclip.compat', 'end_process'),
    ],
)
def test_before_and_after_training_too(module, name, tmp_path):
    config = write_config(tmp_path)
    config.write_text(config.read_text() + call_at(module, name))
    variables = dict(MMCLIP_EXIT_CODE_FILE=str(tmp_path / 'code'))
    run('tools/train.py', config, '--work-dir', 'run', cwd=tmp_path, code=75, **variables)
    assert (tmp_path / 'code').read_text() == '75'
    assert not list(tmp_path.glob('run/.*'))
    assert bool(list(tmp_path.glob('run/*.pth'))) == (name == 'end_process')


def test_two_processes_that_are_still_starting(tmp_path):
    config = write_config(tmp_path)
    config.write_text(config.read_text() + call_at('mmengine.runner', 'Runner.load_or_resume'))
    run('tools/train.py', config, '--work-dir', 'run', cwd=tmp_path, processes=2, code=75)


def test_a_made_up_validation_is_left_and_made_up_for_again(tmp_path):
    def cut(number: int) -> Path:
        hook = dict(type='ToySignal', at=20, number=int(number), what='val')
        return write_config(tmp_path, more=f'custom_hooks.append({hook})\n')

    run('tools/train.py', write_config(tmp_path), '--work-dir', 'a', cwd=tmp_path)
    args = ('--work-dir', 'b', '--resume')
    run('tools/train.py', cut(signal.SIGKILL), *args, cwd=tmp_path, code=-signal.SIGKILL)
    for _ in range(2):
        output = run('tools/train.py', cut(signal.SIGTERM), *args, cwd=tmp_path, code=75)
        assert 'cut off before this validation' in output
    run('tools/train.py', write_config(tmp_path), *args, cwd=tmp_path)
    assert differences(tmp_path / 'b/iter_20.pth', tmp_path / 'a/iter_20.pth') == []
    assert order(tmp_path / 'b') == order(tmp_path / 'a')
    names = [{path.name for path in (tmp_path / run).glob('*.pth')} for run in 'ab']
    assert names[0] == names[1]


def test_a_failed_save_leaves_no_part_and_a_resumed_run_first_frees_the_space(tmp_path):
    more = (
        'def _fill():\n'
        '    from mmengine.fileio import LocalBackend\n'
        '    plain = LocalBackend.put\n'
        '    def put(self, content, path):\n'
        '        plain(self, content[:9], path)\n'
        "        raise OSError(28, 'No space left on device', str(path))\n"
        '    LocalBackend.put = put\n'
        '_fill()\n'
        'del _fill\n'
    )
    config = write_config(tmp_path)
    config.write_text(config.read_text() + more)
    (tmp_path / 'run').mkdir()
    stale = tmp_path / 'run/.iter_3.pth.partial'
    stale.write_bytes(b'x' * 9)
    output = run('tools/train.py', config, '--work-dir', 'run', cwd=tmp_path, code=1)
    assert 'No space left' in output
    assert not list(tmp_path.glob('run/.*')) and not list(tmp_path.glob('run/*.pth'))


def threads(pid: int) -> list[bool]:
    """Of each thread whether it blocks SIGTERM."""
    found = []
    for path in Path(f'/proc/{pid}/task').glob('*/status'):
        mask = next(x for x in path.read_text().splitlines() if x.startswith('SigBlk')).split()[1]
        found.append(bool(int(mask, 16) >> signal.SIGTERM - 1 & 1))
    return found


@pytest.fixture
def own_fork_server(monkeypatch):
    """A fork server of this test alone, which has imported nothing yet."""
    server = forkserver.ForkServer()
    monkeypatch.setattr(forkserver, '_forkserver', server)
    for name in ('ensure_running', 'get_inherited_fds', 'connect_to_new_process'):
        monkeypatch.setattr(forkserver, name, getattr(server, name))
    yield
    server._stop()


@pytest.mark.slow
@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_workers_end_by_a_sigterm_of_the_trainer_only(method, own_fork_server):
    sigterm.protect_workers()
    loader = torch.utils.data.DataLoader(
        list(range(16)), num_workers=1, multiprocessing_context=method, prefetch_factor=1
    )
    batches = iter(loader)
    assert int(next(batches)) == 0
    worker = batches._workers[0]
    blocked = threads(worker.pid)
    assert len(blocked) >= 2 and blocked.count(False) <= 1  # of the thread that waits for it
    subprocess.run(['kill', '-TERM', str(worker.pid)], check=True)
    assert [int(next(batches)) for _ in range(9)] == list(range(1, 10))
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0
    assert loader.worker_init_fn is None
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if method == 'forkserver':
        server = forkserver._forkserver._forkserver_pid
        assert all(threads(server)) or server is None
