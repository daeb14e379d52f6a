"""Training, validation and test by MMEngine's Runner, on MiniWorld's clips in MSR-VTT's files."""

import pytest
import torch
from mmengine import Config
from mmengine.runner import Runner

from mmclip import config_path
from mmclip.datasets.mini_world import make


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['video'], scale=0.001, processes=1, report=lambda line: None)
    return folder / 'video'


@pytest.mark.parametrize('leaf', ['meanp', 'tighttransf'])
def test_a_leaf_trains_validates_and_tests(world, tmp_path, leaf):
    config = Config.fromfile(config_path(f'clip4clip/mini/clip4clip_{leaf}_mini.py'))
    config.work_dir = str(tmp_path)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[name].update(num_workers=0, batch_size=4, persistent_workers=False)
        config[name].dataset.update(data_root=str(world), indices=8)
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.logger.interval = 1
    runner = Runner.from_cfg(config)
    runner.train()
    found = runner.test()
    names = {f'retrieval/{way}_{key}' for way in ('t2v', 'v2t')
             for key in ('R@1', 'R@5', 'R@10', 'MdR', 'MnR')}  # fmt: skip
    assert set(found) == names
    assert 1 <= found['retrieval/t2v_MnR'] <= 8 and found['retrieval/t2v_R@10'] == 100
    scalars = runner.message_hub.log_scalars
    assert 'val/retrieval/t2v_R@1' in scalars
    loss = scalars['train/loss_retrieval'].current()
    assert torch.isfinite(torch.as_tensor(loss)) and loss > 0
