"""Zero-shot classification by the command: ready-made weights need no checkpoint, others do."""

import json
from pathlib import Path

import forked
import pytest

from mmclip.datasets.mini_world.make import make


def run(folder: Path, *arguments: object):
    return forked.run('tools/test.py', *arguments, cwd=folder)


@pytest.mark.slow
def test_mini_clip_names_images_without_a_checkpoint(tmp_path):
    """Far above chance (0.3 %), and at chance where every name stands for another thing."""
    make(
        tmp_path / 'data/mini_world',
        parts=('classification',),
        scale=0.05,
        report=lambda line: None,
    )
    found = {}
    for name in ('clip_zero_shot_mini', 'clip_zero_shot_mini_shuffled'):
        done = run(tmp_path, f'clip_zero_shot/mini/{name}.py', '--work-dir', name)
        assert done.returncode == 0, done.stderr[-2000:]
        (metrics,) = (tmp_path / name).glob('*/*.json')
        found[name] = json.loads(metrics.read_text())
    assert found['clip_zero_shot_mini']['accuracy/top1'] > 60
    assert found['clip_zero_shot_mini']['accuracy/novel_top1'] > 60
    assert found['clip_zero_shot_mini_shuffled']['accuracy/top1'] < 5


def test_a_config_without_weights_of_its_own_needs_a_checkpoint(tmp_path):
    done = run(tmp_path, 'clip_zero_shot/mini/linear_probe_mini.py')
    assert done.returncode != 0 and 'no weights of its own' in done.stderr
    assert not list(tmp_path.iterdir())
