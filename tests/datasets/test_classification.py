"""Lists, folders and CIFAR as datasets of images with one class."""

import csv
import hashlib
import pickle

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from mmclip.datasets.classification import (
    CIFAR,
    ClassificationList,
    ImageFolder,
)
from mmclip.datasets.mini_world.make import make
from mmclip.datasets.video import read_action_names
from mmclip.registry import DATASETS
from mmclip.text.class_names import read_class_names

PIPELINE = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.CLIPResizeCrop', size=8),
    dict(type='mmclip.PackCLIPInputs'),
]


@pytest.fixture
def folder(tmp_path):
    for name, color in (('a b.png', 'red'), ('c.png', 'blue')):
        Image.new('RGB', (10, 12), color).save(tmp_path / name)
    return tmp_path


def write_csv(path, rows, head=('file', 'name', 'split')):
    with path.open('w', newline='') as stream:
        csv.writer(stream).writerows([head, *rows])


def test_csv_list(folder):
    write_csv(folder / 'list.csv', [('a b.png', 'dog', 'base'), ('c.png', 'cat', 'novel')])
    data = DATASETS.build(
        dict(
            type='mmclip.ClassificationList',
            data_root=str(folder),
            ann_file='list.csv',
            classes=['cat', 'dog'],
            pipeline=PIPELINE,
        )
    )
    assert data.metainfo['classes'] == ('cat', 'dog') and len(data) == 2
    first = data[0]
    assert first['inputs'].shape == (3, 8, 8) and first['inputs'].dtype == torch.uint8
    assert first['inputs'][:, 0, 0].tolist() == [255, 0, 0]
    sample = first['data_samples']
    assert int(sample.gt_label) == 1 and sample.split == 'base' and sample.img_id == 0
    assert sample.ori_shape == (12, 10)


def test_csv_list_by_splits_and_with_the_files_own_names(folder):
    write_csv(folder / 'list.csv', [('a b.png', 'dog', 'base'), ('c.png', 'cat', 'novel')])
    data = ClassificationList(data_root=str(folder), ann_file='list.csv', splits=['novel'])
    assert data.metainfo['classes'] == ('cat', 'dog') and len(data) == 1
    assert data.get_data_info(0)['gt_label'] == 0
    with pytest.raises(ValueError, match='no image of the splits rare'):
        ClassificationList(data_root=str(folder), ann_file='list.csv', splits=['rare'])


def test_text_list_with_spaces_in_paths(folder):
    (folder / 'val.txt').write_text('a b.png 1\n\nc.png 0\n')
    data = ClassificationList(
        data_root=str(folder), ann_file='val.txt', classes=['cat', 'dog'], pipeline=PIPELINE
    )
    assert [data.get_data_info(i)['gt_label'] for i in range(2)] == [1, 0]
    assert data[1]['inputs'][:, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('c.png 2\n', "line 1: expected 'path number' with a number below 2"),
        ('c.png\n', 'line 1'),
        ('c.png cat\n', 'line 1'),
        ('c.png ²\n', 'line 1'),
        ('c.png \udcff\n', r'val\.txt: is no UTF-8'),
        ('', 'no image'),
    ],
)
def test_bad_text_lists(folder, content, message):
    (folder / 'val.txt').write_text(content, errors='surrogateescape')
    with pytest.raises(ValueError, match=message):
        ClassificationList(data_root=str(folder), ann_file='val.txt', classes=['cat', 'dog'])


def test_bad_csv_lists(folder):
    write_csv(folder / 'list.csv', [('c.png', 'dgo', 'base')])
    with pytest.raises(ValueError, match="line 2: 'dgo' is not among the 2 classes.*dog"):
        ClassificationList(data_root=str(folder), ann_file='list.csv', classes=['cat', 'dog'])
    write_csv(folder / 'list.csv', [('c.png', 'dog')], head=('path', 'label'))
    with pytest.raises(ValueError, match="'file' and 'name'"):
        ClassificationList(data_root=str(folder), ann_file='list.csv')


def test_missing_files_are_named(folder):
    with pytest.raises(FileNotFoundError, match='make_mini_world.py'):
        ClassificationList(data_root=str(folder), ann_file='gone.csv')
    with pytest.raises(FileNotFoundError, match='gone.json'):
        read_class_names('gone.json', str(folder))
    write_csv(folder / 'list.csv', [('gone.png', 'dog', '')])
    data = ClassificationList(data_root=str(folder), ann_file='list.csv', pipeline=PIPELINE)
    with pytest.raises(FileNotFoundError, match='gone.png'):
        data[0]


def test_damaged_image_is_named(folder):
    whole = (folder / 'c.png').read_bytes()
    (folder / 'c.png').write_bytes(whole[:40])
    (folder / 'a b.png').write_text('no image')
    write_csv(folder / 'list.csv', [('c.png', 'dog', ''), ('a b.png', 'dog', '')])
    data = ClassificationList(data_root=str(folder), ann_file='list.csv', pipeline=PIPELINE)
    for index, name in enumerate(('c.png', 'a b.png')):
        with pytest.raises(ValueError, match=name):
            data[index]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 100000, 'nested too deeply'),
        ('5', 'expected an object or a list'),
        ('{}', "lacks the entry 'names'"),
        ('{"names": "abc"}', 'names: expected a list of texts, got a text'),
        ('["a", 5]', 'names: entry 1 is 5'),
        ('["a", "a"]', 'more than once'),
    ],
)
def test_bad_names_in_a_json_are_named(tmp_path, text, message):
    (tmp_path / 'list.json').write_text(text)
    for read in (read_class_names, read_action_names):
        with pytest.raises(ValueError, match=rf'classes: .*list\.json: .*{message}'):
            read('list.json', str(tmp_path))


def test_names_out_of_json(tmp_path):
    (tmp_path / 'list.json').write_text('["b", "a"]')
    (tmp_path / 'dict.json').write_text('{"names": ["b", "a"], "splits": {}}')
    assert read_class_names('list.json', str(tmp_path)) == ('b', 'a')
    assert read_class_names(str(tmp_path / 'dict.json')) == ('b', 'a')
    assert len(read_class_names('imagenet')) == 1000


def test_folders(tmp_path):
    for name in ('n02', 'n01', 'n03/deep'):
        (tmp_path / name).mkdir(parents=True)
        Image.new('RGB', (9, 9)).save(tmp_path / name / 'x.JPEG')
    (tmp_path / 'n01' / 'notes.txt').write_text('no image')
    data = ImageFolder(data_root=str(tmp_path), classes=['cat', 'dog', 'cow'], pipeline=PIPELINE)
    labels = {data.get_data_info(i)['img_path'].split('/')[-2]: i for i in range(len(data))}
    assert labels == {'n01': 0, 'n02': 1, 'deep': 2}
    assert [int(data[i]['data_samples'].gt_label) for i in range(3)] == [0, 1, 2]
    assert ImageFolder(data_root=str(tmp_path)).metainfo['classes'] == ('n01', 'n02', 'n03')
    with pytest.raises(ValueError, match='holds 3 folders, there are 1000 classes'):
        ImageFolder(data_root=str(tmp_path), classes='imagenet')
    with pytest.raises(FileNotFoundError, match='datasets.md'):
        ImageFolder(data_root=str(tmp_path / 'gone'))


def test_folders_without_images(tmp_path):
    (tmp_path / 'cat').mkdir()
    with pytest.raises(ValueError, match='no image'):
        ImageFolder(data_root=str(tmp_path))


def test_cifar(tmp_path, monkeypatch):
    """An archive in CIFAR-100's format, with its own check sums."""
    kind = torchvision.datasets.CIFAR100
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072)).astype(np.uint8)
    sums = {}
    for name, content in (
        ('test', dict(data=pixels, fine_labels=[4, 99, 0])),
        ('train', dict(data=pixels, fine_labels=[1, 2, 3])),
        ('meta', dict(fine_label_names=[str(i) for i in range(100)])),
    ):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    monkeypatch.setattr(kind, 'test_list', [['test', sums['test']]])
    monkeypatch.setattr(kind, 'train_list', [['train', sums['train']]])
    monkeypatch.setattr(kind, 'meta', dict(kind.meta, filename='meta', md5=sums['meta']))

    data = CIFAR(data_root=str(tmp_path), version=100, pipeline=PIPELINE[2:])
    assert len(data) == 3 and len(data.metainfo['classes']) == 100
    assert data.metainfo['classes'][1] == 'aquarium fish'
    assert [int(data[i]['data_samples'].gt_label) for i in range(3)] == [4, 99, 0]
    expected = pixels.reshape(3, 3, 32, 32)
    assert (data[1]['inputs'].numpy() == expected[1]).all()
    assert data[0]['data_samples'].ori_shape == (32, 32)

    (folder / 'test').write_bytes(b'cut off')
    with pytest.raises(FileNotFoundError, match='CIFAR100.*download=True'):
        CIFAR(data_root=str(tmp_path))
    with pytest.raises(ValueError, match='10 nor 100'):
        CIFAR(data_root=str(tmp_path), version=20)


def test_mini_worlds_lists(tmp_path):
    out = tmp_path / 'mini_world'
    make(out, parts=('classification',), scale=0.02, report=lambda line: None)
    for part in ('train', 'test'):
        data = ClassificationList(
            data_root=str(out / 'classification'),
            ann_file=f'{part}.csv',
            classes='mini_world',
            pipeline=PIPELINE,
        )
        splits = {data.get_data_info(i)['split'] for i in range(len(data))}
        assert splits == ({'base'} if part == 'train' else {'base', 'novel', 'unseen'})
        assert data[0]['inputs'].shape == (3, 8, 8)
