"""Own data: no config brings words of another dataset to the model, the loss or the captions."""

import copy
import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.engine.vocabulary_hook import VocabularyHook
from mmclip.models.vild.bbox_head import ViLDBBoxHead
from mmclip.registry import DATASETS, MODELS
from mmclip.text.class_names import known_vocabularies
from mmclip.vocabulary.classifier import classifiers_of

ROOT = Path(__file__).resolve().parent.parent / 'configs'
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py'))
LEAVES = [name for name in CONFIGS if not name.startswith('_base_')]
OWN = ('cat', 'dog', 'zebra crossing')
# Keys under which a model, hook or schedule could name words of a dataset.
WORDS = ('classes', 'novel_classes', 'novel', 'negatives', 'groups', 'splits', 'vocabulary')
WORDS += ('phrases', 'vocabulary_file')


@functools.cache
def read(name):
    return Config.fromfile(config_path(name))


def build(config):
    return MODELS.build(copy.deepcopy(config.model))  # the hosts change what they build


def settings(node, path=()):
    """(path, value) of everything in a config."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from settings(value, (*path, key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from settings(value, (*path, index))
        yield path, node
    else:
        yield path, node


@pytest.mark.parametrize('name', CONFIGS)
def test_words_stand_with_the_data_only(name):
    """Only the datasets, and the metrics that score a benchmark's files, name vocabularies."""
    found = []
    for path, value in settings(read(name).to_dict()):
        if path and path[0].endswith(('_dataloader', '_evaluator', '_pipeline')):
            # The pipeline of a dataset makes captions of its classes, whichever they are.
            if path[-1] == 'negatives' and value != 'dataset':
                found.append((path, value))
            continue
        if name.startswith('_base_/datasets/') and 'model' not in path:
            continue
        if path and path[-1] in WORDS:
            known = [v for v in known_vocabularies() if isinstance(value, str) and v in value]
            if known or isinstance(value, list | tuple):
                found.append((path, value))
    assert found == []


@pytest.fixture
def own_data(tmp_path):
    """COCO boxes of a cat and a dog; the zebra crossing has none."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((64, 64, 3), 90, np.uint8))
    corners = [4, 4, 20, 4, 20, 20, 4, 20]
    box = dict(image_id=1, area=256, iscrowd=0, segmentation=[corners])
    content = dict(
        images=[dict(id=1, file_name='a.png', height=64, width=64)],
        annotations=[
            dict(box, id=0, category_id=1, bbox=[4, 4, 16, 16]),
            dict(box, id=1, category_id=2, bbox=[24, 4, 16, 16]),
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(OWN, 1)],
    )
    (tmp_path / 'own.json').write_text(json.dumps(content))
    return tmp_path


def detection_of(config):
    """The dataset with boxes in a config's training mixture."""
    dataset = config.train_dataloader.dataset.to_dict()
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def own_dataset(config, folder, **more):
    dataset = detection_of(config)
    dataset |= dict(data_root=str(folder), ann_file='own.json', data_prefix=dict(img=''))
    return DATASETS.build(dataset | more)


def runner_of(model, metainfo):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))
    return SimpleNamespace(
        model=model,
        hooks=(),
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        _train_loop=None,
    )


@pytest.mark.parametrize('name', [name for name in LEAVES if name.startswith('vild/')])
def test_every_box_head_masks_the_data_sets_novel_classes(name):
    """All ViLD leaves name none themselves; the distinct heads are then asked for their loss."""
    init_default_scope('mmdet')
    heads = read(name).model.roi_head.bbox_head
    for head in heads if isinstance(heads, list) else [heads]:
        assert 'novel_classes' not in head and 'classes' not in head.classifier


@pytest.mark.parametrize(
    'name',
    ['vild/mini/vild_text_r18_mini.py', 'vild/vild_text_r50_lvis.py', 'vild/vild_r50_ov_coco.py'],
)
def test_the_loss_leaves_own_novel_classes_alone(name, own_data):
    init_default_scope('mmdet')
    config = read(name)
    dataset = own_dataset(
        config, own_data, novel=['dog'], drop_novel_boxes=True, type='mmclip.OpenVocabLVISDataset',
        pipeline=[],
    )  # fmt: skip
    model = build(config)
    for classifier in classifiers_of(model):  # as if the text tower had been asked
        rows = torch.eye(classifier.embed_dim)[:3]
        classifier.cache.put(OWN, rows)
    VocabularyHook().before_train(runner_of(model, dataset.metainfo))
    assert model.class_names == OWN
    for head in (part for part in model.modules() if isinstance(part, ViLDBBoxHead)):
        logits = torch.zeros(1, 4, requires_grad=True)
        seen = head.mask_novel(logits, torch.tensor([0]), head.class_names, head.use_sigmoid)
        torch.nn.functional.cross_entropy(seen, torch.tensor([0])).backward()
        torch.testing.assert_close(logits.grad, torch.tensor([[-2.0, 0, 1, 1]]) / 3)
    # Data that name no novel class mask none, also after others.
    VocabularyHook().before_train(runner_of(model, dict(classes=OWN)))
    assert not head.mask_novel.rows(head.class_names).any()


GLIPDetector = ['glip/mini/glip_a_mini.py', 'glip/mini/glip_b_mini.py', 'glip/mini/glip_c_mini.py']
GLIPDetector += [
    'glip/mini/glip_t_mini.py',
    'glipv2/mini/glipv2_mini.py',
    'glip/glip_t_swin-t_lvis.py',
]


@pytest.mark.parametrize('novel', [None, ['dog']])
@pytest.mark.parametrize('name', GLIPDetector)
def test_captions_hold_own_classes_and_no_unlabeled_ones(name, novel, own_data):
    init_default_scope('mmdet')
    more = {} if novel is None else dict(novel=novel)
    pipeline = [dict(step) for step in detection_of(read(name))['pipeline']]
    for step in pipeline:
        if 'tokenizer' in step:  # BERT's would be downloaded
            step['tokenizer'] = dict(type='mmclip.CLIPTokens')
    dataset = own_dataset(read(name), own_data, drop_novel_boxes=True, pipeline=pipeline, **more)
    texts = set()
    for seed in range(10):
        np.random.seed(seed)
        texts.add(dataset[0]['data_samples'].text)
    words = {word for text in texts for word in text.split('. ')}
    assert words == set(OWN) - set(novel or ())


def test_novel_classes_with_boxes_may_be_said_to_be_absent(own_data):
    """A file that labels its rare classes, as LVIS's for supervised training."""
    init_default_scope('mmdet')
    dataset = own_dataset(read('glip/mini/glip_b_mini.py'), own_data, novel=['dog', OWN[2]],
                          drop_novel_boxes=False)  # fmt: skip
    assert dataset.get_data_info(0)['unlabeled_classes'] == {OWN[2]}


@pytest.mark.parametrize(
    'name',
    [
        'clip_zero_shot/mini/clip_zero_shot_mini.py',
        'clip_zero_shot/clip_rn50_imagenet.py',
        'group_vit/mini/group_vit_one_stage_mini.py',
        'group_vit/group_vit_gcc_yfcc_imagenet.py',
        'lseg/mini/lseg_r18_mini.py',
        'lseg/mini/text_fcn_r18_mini.py',
        'lseg/lseg_vit_l16_ade20k.py',
        'vild/mini/vild_text_r18_mini.py',
        'glip/mini/glip_b_mini.py',
        'glipv2/mini/glipv2_mini.py',
        'action_clip/mini/action_clip_transf_mini.py',
    ],
)
def test_a_model_has_no_words_before_the_data_set_gives_them(name):
    config = read(name)
    init_default_scope(config.default_scope)
    model = build(config)
    assert model.class_names == ()
    if 'mini' in name:
        VocabularyHook().before_val(runner_of(model, dict(classes=OWN)))
        assert model.class_names == OWN


@pytest.mark.parametrize(
    'name', ['clip_zero_shot/mini/linear_probe_mini.py', 'lseg/mini/start_r18_mini.py']
)
def test_a_linear_probe_takes_names_but_no_other_number(name):
    config = read(name)
    assert any(hook['type'] == 'mmclip.VocabularyHook' for hook in config.custom_hooks)
    init_default_scope(config.default_scope)
    with pytest.raises(ValueError, match=r'384 classes .* head\.classes=3'):
        VocabularyHook().before_train(runner_of(build(config), dict(classes=OWN)))
    head = MODELS.build(dict(config.model.head, classes=3))
    head.set_classes(OWN)
    assert head.class_names == OWN
    with pytest.raises(ValueError, match='trained for only'):
        head.set_classes(OWN[::-1])


GUIDE = (ROOT.parent / 'docs/en/guides/own_data.md').read_text(encoding='utf-8')
RECIPES = [
    block for block in re.findall(r'```python\n(.*?)```', GUIDE, re.S) if '_base_ =' in block
]


@pytest.mark.parametrize('number', range(5))
def test_the_guides_recipes_read_own_data_only(number, tmp_path):
    """Also under GLIPv2's name of the boxes where a recipe gives it."""
    recipe = RECIPES[number]
    texts = [recipe]
    if 'glip_t_mini' in recipe:
        texts.append(recipe.replace('glip/mini/glip_t_mini', 'glipv2/mini/glipv2_mini')
                     .replace('_base_.detection.dataset', '_base_.detection_dataset'))  # fmt: skip
        assert '_base_.detection_dataset' in recipe
    for text in texts:
        path = tmp_path / 'own.py'
        path.write_text(text)
        config = Config.fromfile(path).to_dict()
        loaders = ['train_dataloader']
        loaders += ['val_dataloader', 'test_dataloader'] if 'val_dataloader' in text else []
        for loader in loaders:
            found = dict(settings(config[loader]['dataset']))
            assert not [v for v in found.values() if 'mini_world' in str(v)], loader
            assert '_delete_' not in {path[-1] for path in found}
    assert len(RECIPES) == 5


def test_a_guides_recipe_with_captions_keeps_them(tmp_path):
    recipe = next(recipe for recipe in RECIPES if 'glip_t_mini' in recipe)
    line = next(line for line in recipe.splitlines() if line.startswith('# or with'))
    path = tmp_path / 'own.py'
    path.write_text(f'{recipe}train_dataloader = dict({line.partition(": ")[2]})\n')
    own, *captions = Config.fromfile(path).train_dataloader.dataset.datasets
    assert own.data_root == 'data/mine/' and own.ann_file == 'train.json'
    assert [one.ann_file for one in captions] == ['train.jsonl', 'refer_train.jsonl']
