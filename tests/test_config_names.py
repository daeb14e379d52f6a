"""Names of configs: one pattern, MiniWorld's leaves in ``mini/``, one main config per method."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / 'configs'
METHODS = sorted(path.name for path in ROOT.iterdir() if (path / 'README.md').is_file())
LEAVES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py') if '_base_' not in path.parts
)
# {method}_{variant}_{backbone}_{dataset}_{setting}.py, what a leaf does not need left out
PREFIX = {'clip_zero_shot': 'clip'}
DATASETS = (
    r'activitynet|ade20k|aquarium|cap4m|cc3m|charades|cifar100|coco|coco20i|didemo|flickr30k|four_ods'
    r'|fss1000|gcc\w*?|hmdb51|howto100m|imagenet|k400|lsmdc|lvis|masks|modelnet(10|40)|msrvtt|msvd'
    r'|o365|odinw(13|35)|ov_coco|pascal5i|phrase_cut|scan_object_nn|ucf101'
)
WORD = r'[a-z0-9]+(-[a-z0-9]+)*'
# What a method is compared with, named by what it is.
BASELINES = r'(clip_on_crops|dyhead|linear_probe|point_net|start|text_(fcn|segformer|upernet))_'


def pattern(method: str, mini: bool) -> str:
    prefix = PREFIX.get(method, method)
    about = 'mini' if mini else rf'({DATASETS})'
    return rf'({BASELINES}({WORD}_)*?|{prefix}_({WORD}_)*?){about}(_{WORD})*\.py'


@pytest.mark.parametrize('leaf', LEAVES)
def test_names_follow_one_pattern(leaf):
    method, *folder, name = leaf.split('/')
    assert folder in ([], ['mini']), f'{leaf}: leaves lie in configs/{method}/ or its mini/'
    found = re.fullmatch(pattern(method, bool(folder)), name)
    assert found, f'{leaf} is not {{method}}_{{variant}}_{{backbone}}_{{dataset}}_{{setting}}.py'


@pytest.mark.parametrize(
    'name',
    ['vild_mini_r18.py', 'ViLD_r50_lvis.py', 'my_r50_lvis.py', 'vild_r50.py', 'vild__lvis.py'],
)
def test_other_names_do_not_pass(name):
    assert not re.fullmatch(pattern('vild', False), name)


@pytest.mark.parametrize('method', METHODS)
def test_the_readme_names_the_main_config_before_any_other(method):
    readme = (ROOT / method / 'README.md').read_text()
    (main,) = re.findall(r'^Main config: \[`([\w-]+\.py)`\]\(\1\)', readme, re.MULTILINE)
    assert (ROOT / method / main).is_file()
    assert re.search(r'[\w-]+\.py', readme)[0] == main
