"""Every config loads by each of the three routes, names its scopes and builds without files."""

import re
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, init_default_scope

from mmclip import config_path

ROOT = Path(__file__).resolve().parent.parent / 'configs'
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py'))
LEAVES = [name for name in CONFIGS if not name.startswith('_base_')]
# MMEngine's own classes are found from every scope.
MMENGINE_KEYS = {'optimizer', 'optim_wrapper', 'param_scheduler', 'log_processor'}


def types_of(node, path=()):
    """(path, type) of every dict with a ``type`` in a config."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield path, node['type']
        for key, value in node.items():
            yield from types_of(value, (*path, key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from types_of(value, (*path, index))


@pytest.mark.parametrize('name', CONFIGS)
def test_reads_the_same_by_path_and_by_prefix(name, tmp_path):
    by_path = Config.fromfile(config_path(name))
    (tmp_path / 'leaf.py').write_text(f"_base_ = 'mmclip::{name}'")
    by_prefix = Config.fromfile(tmp_path / 'leaf.py')
    assert list(types_of(by_path.to_dict())) == list(types_of(by_prefix.to_dict()))


@pytest.mark.parametrize('name', LEAVES)
def test_every_type_of_a_component_carries_its_scope(name):
    config = Config.fromfile(config_path(name)).to_dict()
    parts = ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks')
    parts += ('val_evaluator', 'test_evaluator', 'visualizer')
    found = [
        (part, path, kind)
        for part in parts
        for path, kind in types_of(config.get(part))
        if '.' not in kind and MMENGINE_KEYS.isdisjoint(path)
    ]
    # Norms, activations, inits and samplers below are MMEngine's or MMCV's own in every scope.
    own = {
        'BN',
        'BN1d',
        'SyncBN',
        'GN',
        'LN',
        'ReLU',
        'GELU',
        'Pretrained',
        'Normal',
        'Xavier',
        'Constant',
    }
    own |= {'DefaultSampler', 'InfiniteSampler', 'RoIAlign', 'nms', 'deconv', 'Conv2d'}
    own |= {'LocalVisBackend', 'TensorboardVisBackend', 'PackedSequence', 'pseudo_collate'}
    assert [entry for entry in found if entry[2] not in own] == []


@pytest.mark.parametrize('name', LEAVES)
def test_says_its_paper_row_and_its_command(name):
    head = (ROOT / name).read_text().split('_base_')[0]
    assert head.startswith(('#', '"""')), 'a leaf opens with a comment'
    assert 'tools/' in head, 'the comment gives the command'


@pytest.mark.parametrize('name', LEAVES)
def test_builds_without_weights_or_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    config = Config.fromfile(config_path(name))
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    assert sum(p.numel() for p in model.parameters()) > 0
    assert not list(tmp_path.rglob('*')), 'building leaves files behind'


@pytest.mark.parametrize('name', [name for name in LEAVES if re.search('glip.*_finetune', name)])
def test_fine_tuning_of_glip_averages_weights(name):
    hooks = [hook['type'] for hook in Config.fromfile(config_path(name)).custom_hooks]
    assert hooks == ['mmclip.VocabularyHook', 'mmengine.EMAHook']
