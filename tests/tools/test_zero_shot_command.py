"""Zero-shot classification by the command: ready-made weights need no checkpoint, others do."""

import json
import subprocess
import sys
from pathlib import Path

from mmclip.datasets.mini_world.make import make

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / 'tools' / 'test.py', *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


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
