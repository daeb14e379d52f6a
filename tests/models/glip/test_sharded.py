"""FSDP: units by class, gradients clipped as one, the mini leaf on two processes."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn
from toy_runs import run

from mmclip.engine.fsdp import ShardedOptimWrapper, wrap_classes
from mmclip.io.checkpoint import read_state_dict
from mmclip.registry import MODELS

ROOT = Path(__file__).resolve().parents[3]


def test_units_are_the_named_classes_and_everything_is_looked_into():
    linear, block = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))
    assert wrap_classes(linear, True, 0, names=['Sequential'])
    assert not wrap_classes(linear, False, 10**9, names=['Sequential'])
    assert wrap_classes(block, False, 0, names=['Sequential'])


def clipped(kind: type) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    wrapper = kind(torch.optim.SGD(model.parameters(), lr=1.0), clip_grad=dict(max_norm=0.5))
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    wrapper.update_params(model(torch.ones(2, 3)).sum() * 10)
    return torch.cat([p.detach().flatten() for p in model.parameters()]) - before


def test_one_process_clips_as_mmengine_does():
    ours = clipped(ShardedOptimWrapper)
    torch.testing.assert_close(ours, clipped(OptimWrapper))
    assert abs(float(ours.norm()) - 0.5) < 1e-4


def train(work_dir: Path, cwd: Path, *options: str, resume: bool = False) -> None:
    """The mini leaf on two processes, four iterations."""
    short = dict(train_dataloader=dict(batch_size=1), train_cfg=dict(max_iters=4, val_interval=100))
    words = [f'{a}.{b}={value}' for a, part in short.items() for b, value in part.items()]
    words += [f'val_{part}=None' for part in ('dataloader', 'evaluator', 'cfg')]
    command = [
        'tools/train.py',
        ROOT / 'configs/glip/mini/glip_b_mini_fsdp.py',
        '--work-dir',
        work_dir,
    ]
    command += ['--resume'] if resume else []
    command += ['--cfg-options', *words, 'default_hooks.checkpoint.interval=2', *options]
    run(*command, cwd=cwd, processes=2)


@pytest.mark.slow
def test_the_mini_leaf_trains_and_resumes_on_two_processes(mini_world_detection, tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/mini_world').symlink_to(mini_world_detection)
    train(tmp_path / 'a', tmp_path)
    (tmp_path / 'b').mkdir()
    shutil.copy(tmp_path / 'a/iter_2.pth', tmp_path / 'b/iter_2.pth')
    (tmp_path / 'b/last.pth').symlink_to('iter_2.pth')
    train(tmp_path / 'b', tmp_path, resume=True)
    first, second = (read_state_dict(tmp_path / run / 'iter_4.pth') for run in 'ab')
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = read_state_dict(tmp_path / 'a/iter_2.pth')
    assert not torch.equal(first['bbox_head.reg.weight'], start['bbox_head.reg.weight'])
    # One file of ordinary weights.
    model = MODELS.build(Config.fromfile(ROOT / 'configs/glip/mini/glip_b_mini.py').model)
    model.load_state_dict(first)
