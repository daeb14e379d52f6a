"""Images of predictions, by the hosts' tools and by mmclip's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, init_default_scope
from toy_runs import run

from mmclip import config_path
from mmclip.datasets.mini_world.make import make

HOOKS = {'mmdet': 'mmdet.DetVisualizationHook', 'mmseg': 'mmseg.SegVisualizationHook'}
MINIS = {'mmdet': 'vild/mini/vild_text_r18_mini.py', 'mmseg': 'lseg/mini/lseg_r18_mini.py'}
ROOT = Path(__file__).resolve().parents[2] / 'configs'
# Those that name a runtime; the others inherit from them.
LEAVES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob('[!_]*/*.py'), *ROOT.glob('*/mini/*.py')]
    if '_runtime.py' in path.read_text()
)


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('show')
    parts = ('detection', 'segmentation')
    make(
        folder / 'data/mini_world', parts=parts, scale=0.005, processes=1, report=lambda line: None
    )
    return folder


@pytest.mark.parametrize('name', LEAVES)
def test_configs_of_a_host_that_draws_name_its_hook_switched_off(name):
    config = Config.fromfile(config_path(name))
    hook = config.default_hooks.get('visualization')
    wanted = HOOKS.get(config.default_scope)
    assert hook == (wanted and dict(type=wanted))
    assert wanted is None or config.visualizer.type.startswith(config.default_scope)


@pytest.mark.parametrize('host', MINIS)
@pytest.mark.parametrize('package', ['mmclip', 'host'])
def test_show_dir_draws_the_images(host, package, world, tmp_path):
    config = Config.fromfile(config_path(MINIS[host]))
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(
        f"_base_ = __import__('mmclip').config_path('{MINIS[host]}')\n"
        'test_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(indices=1))\n'
        'default_hooks = dict(visualization=dict(interval=1))  # mmseg draws every 50th otherwise\n'
        "test_evaluator = dict(_delete_=True, type='mmengine.DumpResults', out_file_path='x.pkl')\n"
    )
    (tmp_path / 'data').symlink_to(world / 'data')
    init_default_scope(host)
    model = MODELS.build(config.model)
    model.set_classes(['red star', 'blue ring'])
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'x.pth')
    tool = Path(find_spec(host).origin).parent / '.mim/tools/test.py'
    run(
        tool if package == 'host' else 'tools/test.py',
        'leaf.py',
        'x.pth',
        '--work-dir',
        'wd',
        '--show-dir',
        tmp_path / 'images' if host == 'mmseg' else 'images',
        cwd=tmp_path,
    )
    assert list(tmp_path.rglob('images/**/*.png')), sorted(tmp_path.rglob('*'))
