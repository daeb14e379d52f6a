"""MiniWorld's captioned scenes: what is seen where, masks, and a way through training data."""

import json
import tarfile

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmclip import config_path
from mmclip.datasets.mini_world import scene_captions
from mmclip.datasets.mini_world.make import make
from mmclip.datasets.mini_world.world import World
from mmclip.registry import DATASETS

SCALE = 0.03


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp('world')
    make(out, parts=['scene_captions'], scale=SCALE, report=lambda line: None)
    return out / 'scene_captions'


def samples(root):
    for path in sorted(root.glob('*.tar')):
        with tarfile.open(path) as archive:
            texts = [m.name for m in archive if m.name.endswith('.txt')]
            for name in texts:
                yield archive.extractfile(name).read().decode()


def test_captions_name_base_and_novel_things_never_unseen_ones(root):
    world, found = World(0, SCALE), set()
    captions = list(samples(root))
    assert len(captions) == json.loads((root / 'index.json').read_text())['samples'] == 720
    for caption in captions:
        found |= {name for name in world.names if f'a {name}' in caption}
    splits = {world.split_of[name] for name in found}
    assert splits == {'base', 'novel'}
    assert len(found) > 300


def test_captions_hold_a_noun_of_every_class():
    words = set(scene_captions.WORDS)
    for names, _ in scene_captions.KINDS.values():
        assert {word for name in names for word in name.split()} <= words


def test_sentences():
    rng = np.random.default_rng(0)
    things = World().things[:3]
    texts = {scene_captions.caption(things[:n], rng) for n in (1, 2, 3) for _ in range(30)}
    assert 'a plain red circle' in texts
    assert 'a plain red circle and a plain orange circle' in texts
    assert (
        'a photo of a plain red circle, a plain orange circle and a plain yellow circle.' in texts
    )


def test_masks_agree_with_each_other_and_with_the_image(root):
    names = sorted(p.name for p in (root / 'images/test').iterdir())
    assert len(names) == 24
    background, colors = 0, set()
    for name in names:
        masks = {
            kind: np.asarray(Image.open(root / kind / 'test' / name))
            for kind in scene_captions.KINDS
        }
        where = masks['colors'] > 0
        assert all(((mask > 0) == where).all() for mask in masks.values())
        # colors_textures lists the four textures of one color after those of another.
        assert (((masks['colors_textures'][where] - 1) // 4) == masks['colors'][where] - 1).all()
        background += 1 - where.mean()
        colors |= set(np.unique(masks['colors']).tolist())
    assert 0.7 < background / len(names) < 0.9
    assert colors == set(range(9))


def test_things_are_large_and_hardly_overlap():
    rng = np.random.default_rng(0)
    for things in (World().things[:1], World().things[:3]):
        for _ in range(20):
            image, masks = scene_captions.draw(things, rng)
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8
            assert min(mask.sum() for mask in masks) > 60
            assert (np.sum(masks, 0) <= 1).all()


def test_the_mini_config_reads_it(root):
    init_default_scope('mmseg')
    config = Config.fromfile(config_path('group_vit/mini/group_vit_one_stage_mini.py'))
    train = config.train_dataloader.dataset
    train.shards = str(root / 'train-{00000..00007}.tar')
    dataset = DATASETS.build(train)
    for _ in range(5):
        sample = dataset[0]
        assert sample['inputs'].shape == (3, 64, 64)
        texts = sample['data_samples'].texts
        assert len(texts) == 4
        prompts = [text.split() for text in texts[1:]]  # single words and pairs of neighbors
        assert all(len(words) <= 2 and {*words} <= {*scene_captions.WORDS} for words in prompts)
    test = config.test_dataloader.dataset
    test.data_root, test.classes = str(root), str(root / 'colors.txt')
    dataset = DATASETS.build(test)
    assert dataset.metainfo['classes'][:3] == ('background', 'red', 'orange')
    assert len(dataset) == 24 and dataset[0]['data_samples'].gt_sem_seg.shape == (64, 64)
