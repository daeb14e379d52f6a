"""Fixtures of all tests; nothing here or in a test reaches for the network."""

import os
import sys
from pathlib import Path

import pytest

# Before torch and the libraries that read these when they are imported.
os.environ.update(HF_HUB_OFFLINE='1', TRANSFORMERS_OFFLINE='1')
os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch

from parity.runner import FIXTURES, default_folders

torch.set_num_threads(1)

# Parts of the tests, also of the processes that they start.
HELPERS = [str(Path(__file__).parent / name) for name in ('helpers', 'engine')]
sys.path[:0] = HELPERS
os.environ['PYTHONPATH'] = os.pathsep.join([*HELPERS, os.environ.get('PYTHONPATH', '')]).strip(':')


@pytest.fixture(scope='session', autouse=True)
def cache_folder(tmp_path_factory) -> Path:
    """mmclip's cache, empty and away from the user's; subprocesses of the tests share it."""
    folder = tmp_path_factory.mktemp('mmclip-cache')
    os.environ['MMCLIP_CACHE'] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def no_default_scope() -> None:
    """A test starts without the scope that another one's config or runner left behind."""
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='session')
def oracles() -> Path:
    """Folder with the fixtures made by the methods' official code."""
    return FIXTURES


@pytest.fixture(scope='session')
def larger_oracles() -> Path:
    """Folder with all fixtures, those that are too large for the repository too, or a skip."""
    folder = default_folders('')[1]
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there; set MMCLIP_ORACLES to the folder with the fixtures')
    return folder


@pytest.fixture(scope='session')
def mini_world_detection(tmp_path_factory) -> Path:
    """Root of a MiniWorld with a small part ``detection``."""
    from mmclip.datasets.mini_world.make import make

    out = tmp_path_factory.mktemp('world') / 'mini_world'
    make(out, parts=('detection',), scale=0.02, report=lambda line: None)
    return out
