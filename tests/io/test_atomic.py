"""A file is there whole or not at all, and what was begun does not stay."""

import errno
import multiprocessing
import os
import resource
import signal

import numpy as np
import pytest

from mmclip.io import atomic


@pytest.fixture
def small_disk():
    """Writes beyond 4 kB fail, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, former)


def noise(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)


def write_bytes(path, size):
    with atomic.atomic_file(path) as partial:
        partial.write_bytes(bytes(size))


WRITERS = {
    'a.bin': write_bytes,
    'a.txt': lambda path, size: atomic.write_text(path, 'x' * size),
    'a.png': lambda path, size: atomic.write_image(path, noise(64 if size > 9 else 2)),
}


@pytest.mark.parametrize('name', WRITERS)
def test_a_failed_write_leaves_the_former_file_and_nothing_else(name, tmp_path, small_disk):
    path = tmp_path / name
    WRITERS[name](path, 9)
    before = path.read_bytes()
    with pytest.raises(OSError) as error:
        WRITERS[name](path, 9000)
    assert error.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_configs_are_dumped_whole(tmp_path, small_disk):
    from mmengine.config import Config

    from mmclip import compat

    compat.write_configs_atomically()
    path = tmp_path / 'config.py'
    Config(dict(a=1)).dump(path)
    assert Config.fromfile(path).a == 1
    with pytest.raises(OSError):
        Config(dict(a=['x' * 99] * 99)).dump(path)
    assert Config.fromfile(path).a == 1
    assert os.listdir(tmp_path) == ['config.py']


def test_names_that_no_image_can_have(tmp_path):
    for name in ('a.xyz', 'a'):
        with pytest.raises(ValueError, match=f'{name}: not the name of an image file.*png'):
            atomic.write_image(tmp_path / name, noise(2))
    assert os.listdir(tmp_path) == []


def _write_for_ever(folder, begun):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever a test before has left
    with atomic.atomic_file(folder / 'a.bin') as partial:
        partial.write_bytes(b'half')
        with atomic.unfinished(folder / 'b') as inner:
            inner.mkdir()
            (inner / 'c').touch()
            begun.set()
            signal.pause()


def test_a_sigterm_that_nobody_handles_ends_as_ever_and_leaves_nothing(tmp_path):
    context = multiprocessing.get_context('fork')
    begun = context.Event()
    process = context.Process(target=_write_for_ever, args=(tmp_path, begun))
    process.start()
    assert begun.wait(60)
    assert len(os.listdir(tmp_path)) == 2
    process.terminate()
    process.join(60)
    assert process.exitcode == -signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_a_handler_of_the_program_stays(tmp_path):
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with atomic.atomic_file(tmp_path / 'a') as partial:
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
            partial.touch()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        write_bytes(tmp_path / 'a', 1)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, former)
