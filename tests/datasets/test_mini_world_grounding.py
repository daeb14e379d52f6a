"""MiniWorld's captions with boxes: what is named, what has a box, and who is novel."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmclip.datasets import ODVGDataset
from mmclip.datasets.mini_world import grounding, make
from mmclip.datasets.mini_world.scenes import Instance
from mmclip.datasets.mini_world.world import NOVEL_SHAPES, Thing, World

SCALE = 0.04


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['grounding'], scale=SCALE, processes=1, report=lambda line: None)
    return folder / 'grounding'


def records(out, name):
    return [json.loads(line) for line in (out / f'{name}.jsonl').read_text().splitlines()]


def regions(out, name):
    for record in records(out, name):
        for region in record['grounding']['regions']:
            yield record['grounding']['caption'], region


def instance(name, x, y, side=10):
    mask = np.zeros((60, 60), bool)
    mask[y : y + side, x : x + side] = True
    return Instance(Thing(*name.split()), mask)


def test_every_region_is_where_its_words_are(out):
    for split in ('train', 'val', 'test', 'refer_train', 'refer_val', 'refer_test'):
        found = list(regions(out, split))
        assert found, split
        for caption, region in found:
            ((start, end),) = region['tokens_positive']
            assert caption[start:end] == region['phrase']
            assert len(region['bbox']) == len(region['segmentation']) >= 1


def test_training_names_no_novel_thing_and_boxes_only_base_ones(out):
    world = World()
    for split in ('train', 'refer_train'):
        for caption, region in regions(out, split):
            assert region['types'] == ['base']
            assert not set(NOVEL_SHAPES) & set(caption.split())
    unseen = {name for name, split in world.split_of.items() if split == 'unseen'}
    text = ' '.join(caption for caption, _ in regions(out, 'train'))
    assert not [name for name in unseen if name in text]
    # Some training images do show novel things: fewer boxes than things.
    things = [t for p in grounding.detection.images(World(scale=SCALE), 'train') for t in p]
    assert {world.split_of[t.name] for t in things} == {'base', 'novel'}


def test_test_captions_hold_all_splits_by_full_names(out):
    kinds = [kind for _, region in regions(out, 'test') for kind in region['types']]
    assert set(kinds) == {'base', 'novel', 'unseen'}
    assert all(len(region['phrase'].split()) == 3 for _, region in regions(out, 'test'))


def test_a_word_means_all_things_that_it_fits():
    found = [instance('plain red star', 0, 0), instance('dotted red star', 20, 0)]
    record = grounding.caption_record(
        found, ['red star', 'dotted star'], [['base'], ['base']], np.random.default_rng(0)
    )
    of = {region['phrase']: region for region in record['regions']}
    assert of['red star']['bbox'] == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert of['dotted star']['bbox'] == [[20, 0, 30, 10]]
    assert 'every red star' in record['caption'] and 'a dotted star' in record['caption']


@pytest.mark.parametrize(
    'target, sides', [(0, {'leftmost'}), (1, {'lowest'}), (2, {'rightmost', 'topmost'})]
)
def test_a_side_means_one_thing(target, sides):
    found = [instance(f'plain {c} star', x, y) for c, x, y in
             (('red', 0, 20), ('blue', 20, 40), ('green', 40, 0))]  # fmt: skip
    rng = np.random.default_rng(0)
    said = [grounding.refer_record(found, target, 'star', 'base', rng) for _ in range(20)]
    captions = {record['caption'] for record in said}
    assert len(captions) > 2
    assert {word for c in captions for word in c.split()} & set(grounding.SIDES) == sides
    (region,) = said[0]['regions']
    assert region['phrase'] == said[0]['caption']
    x, y, w, h = found[target].box
    assert region['bbox'] == [[x, y, x + w, y + h]]
    alone = grounding.refer_record(found, target, found[target].thing.name, 'base', rng)
    assert alone['caption'] == f'the {found[target].thing.name}'


def test_a_thing_in_the_middle_cannot_be_told_by_a_side():
    found = [instance('plain red star', *place) for place in ((0, 0), (20, 20), (40, 40))]
    assert grounding.refer_record(found, 1, 'star', 'base', np.random.default_rng(0)) is None


def test_masks_lie_in_their_boxes_and_images_load(out):
    data = ODVGDataset(
        data_root=str(out),
        ann_file='test.jsonl',
        data_prefix=dict(img='images/'),
        pipeline=[dict(type='mmdet.LoadImageFromFile')],
        test_mode=True,
    )
    info = data[0]
    assert info['img'].shape == (128, 128, 3)
    for one in info['instances']:
        encoded = coco_mask.merge(coco_mask.frPyObjects(one['mask'], 128, 128))
        x, y, w, h = cv2.boundingRect(coco_mask.decode(encoded))
        np.testing.assert_allclose([x, y, x + w, y + h], one['bbox'], atol=1)


def test_pairs_name_base_and_novel_things(out):
    world, names = World(), []
    index = json.loads((out / 'index.json').read_text())
    for shard in index['shards']:
        with tarfile.open(out / shard) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
        for name in (n for n in files if n.endswith('.jpg')):
            assert Image.open(io.BytesIO(files[name])).size == (128, 128)
            caption = files[name.replace('.jpg', '.txt')].decode()
            names += [thing for thing in world.names if thing in caption]
    kinds = [world.split_of[name] for name in names]
    assert set(kinds) == {'base', 'novel'}
    assert kinds.count('novel') / len(kinds) == pytest.approx(128 / 344, abs=0.1)
    assert len(index['shards']) == 8 and sum(index['shards'].values()) == index['samples']


def test_the_same_bytes_from_a_seed(out, tmp_path):
    make.make(tmp_path, parts=['grounding'], scale=SCALE, processes=1, report=lambda line: None)
    record = json.loads((tmp_path / 'grounding' / make.RECORD).read_text())
    assert record == json.loads((out / make.RECORD).read_text())
