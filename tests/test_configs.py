"""Every config loads by each of the three routes, names its scopes and builds without files."""

import copy
import functools
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine import Config, hub
from mmengine.registry import DATASETS, MODELS, init_default_scope

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


PARSE, LINSPACE = Config._file2dict, torch.linspace
parse_once = functools.cache(PARSE)


@pytest.fixture(autouse=True)
def files_are_parsed_once(monkeypatch):
    """MMEngine parses the bases of each config again; here every file is parsed once a process."""

    def parse(filename, *args, **kwargs):
        if ROOT not in Path(filename).resolve().parents:
            return PARSE(filename, *args, **kwargs)
        return copy.deepcopy(parse_once(str(Path(filename).resolve()), *args, **kwargs))

    monkeypatch.setattr(Config, '_file2dict', staticmethod(parse))


@functools.cache
def read(name):
    return Config.fromfile(config_path(name))


def build(config):
    """The model without memory and values, or on the CPU where it computes from them."""
    init_default_scope(config.default_scope)

    def linspace(*args, **kwargs):  # the rates of drop path, which the hosts read as numbers
        return LINSPACE(*args, **{'device': 'cpu', **kwargs})

    try:
        with pytest.MonkeyPatch.context() as patch, torch.device('meta'):
            patch.setattr(torch, 'linspace', linspace)
            return MODELS.build(copy.deepcopy(config.model))  # the hosts change what they build
    except Exception:
        torch.manual_seed(0)
        return MODELS.build(copy.deepcopy(config.model))


@functools.cache
def parameters_of(scope, model):
    """Number of parameters of a model, given as json: many leaves differ in their data only."""
    return sum(
        p.numel()
        for p in build(Config(dict(default_scope=scope, **json.loads(model)))).parameters()
    )


def by_prefix(name, folder, more=''):
    (folder / 'leaf.py').write_text(f"_base_ = 'mmclip::{name}'\n{more}")
    return Config.fromfile(folder / 'leaf.py')


@pytest.mark.parametrize('name', CONFIGS)
def test_reads_the_same_by_path_and_by_prefix(name, tmp_path):
    assert by_prefix(name, tmp_path).to_dict() == read(name).to_dict()


@pytest.mark.parametrize(
    'name',
    [
        'action_clip/mini/action_clip_transf_mini.py',
        'clip4clip/mini/clip4clip_meanp_mini.py',
        'clip_zero_shot/mini/clip_zero_shot_mini.py',
        'glip/mini/glip_b_mini.py',
        'glip/dyhead_swin-t_coco.py',
        'glipv2/mini/glipv2_mini.py',
        'group_vit/mini/group_vit_one_stage_mini.py',
        'lseg/mini/lseg_r18_mini.py',
        'vild/mini/vild_text_r18_mini.py',
        'vild/vild_text_cascade_r50_lvis.py',
    ],
)
def test_builds_the_same_by_path_and_by_prefix(name, tmp_path):
    first, second = (build(c) for c in (read(name), by_prefix(name, tmp_path)))
    kinds = [[type(part) for part in model.modules()] for model in (first, second)]
    assert kinds[0] == kinds[1]


def test_unscoped_names_of_a_leaf_by_prefix_are_the_hosts(tmp_path):
    """A stamp ``_scope_='mmclip'`` makes MMCV's Resize of it, and finds no FPN."""
    config = by_prefix(
        'vild/mini/vild_text_r18_mini.py',
        tmp_path,
        """
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs'),
]
model = dict(neck=dict(type='FPN'))
train_dataloader = dict(dataset=dict(lazy_init=True, pipeline=train_pipeline))
""",
    )
    init_default_scope(config.default_scope)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    kinds = [type(step).__module__ for step in dataset.pipeline.transforms]
    assert kinds[1:] == [
        'mmdet.datasets.transforms.transforms',
        'mmdet.datasets.transforms.formatting',
    ]
    assert type(build(config).neck).__module__ == 'mmdet.models.necks.fpn'


def test_the_hub_reads_the_same_config():
    name = 'vild/mini/vild_text_r18_mini.py'
    assert hub.get_config(f'mmclip::{name}').to_dict() == read(name).to_dict()


def test_other_packages_keep_their_scope_by_prefix(tmp_path):
    name = 'retinanet/retinanet_r50_fpn_1x_coco.py'
    (tmp_path / 'leaf.py').write_text(f"_base_ = 'mmdet::{name}'")
    assert Config.fromfile(tmp_path / 'leaf.py').model._scope_ == 'mmdet'


@pytest.mark.parametrize('name', LEAVES)
def test_every_type_of_a_component_carries_its_scope(name):
    config = read(name).to_dict()
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
    config = read(name)
    assert (
        parameters_of(config.default_scope, json.dumps(dict(model=config.to_dict()['model']))) > 0
    )
    assert not list(tmp_path.rglob('*')), 'building leaves files behind'


@pytest.mark.parametrize('name', [name for name in LEAVES if re.search('glip.*_finetune', name)])
def test_fine_tuning_of_glip_averages_weights(name):
    hooks = [hook['type'] for hook in read(name).custom_hooks]
    assert hooks == ['mmclip.VocabularyHook', 'mmengine.EMAHook']
