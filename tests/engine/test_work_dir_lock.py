"""Two runs do not share a work dir."""

import errno
import multiprocessing
import os
import signal
import socket

import pytest
from toy_runs import Tool, run, write_config

from mmclip.engine import work_dir_lock
from mmclip.engine.work_dir_lock import held, is_first_process


def _hold(folder, begun, forked):
    with held(folder):
        if os.fork() == 0:  # as a data loading worker, which outlives a killed trainer for seconds
            forked.wait(60)
            os._exit(0)
        begun.set()
        signal.pause()


def test_the_second_run_is_told_of_the_first_and_sigkill_ends_the_lock(tmp_path):
    context = multiprocessing.get_context('fork')
    begun, forked = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / 'run', begun, forked))
    process.start()
    try:
        assert begun.wait(60)
        for _ in range(2):  # the first attempt does not empty the file
            with pytest.raises(ValueError) as error, held(tmp_path / 'run'):
                pass
            told = f'in use by another run (process {process.pid} on {socket.gethostname()}, since '
            assert told in str(error.value)
            assert '--work-dir' in str(error.value) and '\n' not in str(error.value)
        process.kill()
        process.join()  # with a limit it would wait for the worker, which has its pipe
        with held(tmp_path / 'run'):
            pass
    finally:
        process.kill()
        forked.set()


def test_only_the_first_process_of_a_job_locks(monkeypatch):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    assert all(map(is_first_process, ('none', 'pytorch', 'slurm', 'mpi')))
    monkeypatch.setenv('RANK', '1')
    assert is_first_process('none')
    assert not is_first_process('pytorch')
    monkeypatch.setenv('SLURM_PROCID', '3')
    assert not is_first_process('slurm')


@pytest.mark.parametrize('number', [errno.EROFS, errno.ENOLCK, errno.EACCES])
def test_where_there_are_no_locks_there_is_a_warning(number, tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(work_dir_lock, '_lock', refuse)
    with pytest.warns(UserWarning, match='cannot be locked .*let no second run use it'):
        with held(tmp_path):
            pass


def test_two_trainings_and_a_test_in_one_work_dir(tmp_path):
    config = write_config(tmp_path)
    run('tools/train.py', config, '--work-dir', 'run', cwd=tmp_path)
    before = {path.name for path in (tmp_path / 'run').iterdir()}
    with held(tmp_path / 'run'):
        first, second = (
            Tool('tools/train.py', config, '--work-dir', 'run', '--resume', cwd=tmp_path),
            Tool('tools/test.py', config, 'run/last.pth', '--work-dir', 'run', cwd=tmp_path),
        )
        output = first.wait(code=1)
        second.wait()
    assert f'error: run is in use by another run (process {os.getpid()} on ' in output
    assert 'Traceback' not in output
    made = {path.name for path in (tmp_path / 'run').iterdir()} - before
    assert len(made) == 1  # of the test
