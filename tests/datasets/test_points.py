"""Datasets of point clouds: tiny files in the real layouts, shots and the held-out split."""

import csv
import random

import numpy as np
import pytest
import torch
from mmengine import Config

from mmclip import config_path
from mmclip.datasets.few_shot import Subset
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names

h5py = pytest.importorskip('h5py')

PIPELINE = [dict(type='mmclip.LoadPoints'), dict(type='mmclip.PackPointInputs')]
MESH = '4 2 0\n0 0 0\n2 0 0\n2 2 1\n0 2 0\n3 0 1 2\n3 0 2 3\n'


def build(kind, **options):
    return DATASETS.build(dict(type=f'mmclip.{kind}', **{'pipeline': PIPELINE, **options}))


def labels_of(data):
    return [data.get_data_info(i)['gt_label'] for i in range(len(data))]


# Subsets.


def test_shots_are_dassls_draw():
    labels = [1, 0, 1, 1, 0, 2, 1]
    random.seed(2)  # the official draw: from the global generator, classes as they come
    expected = random.sample([0, 2, 3, 6], 2) + random.sample([1, 4], 2) + random.choices([5], k=2)
    assert Subset('train', num_shots=2).choose(labels) == expected
    assert Subset('train', num_shots=2, shots_seed=3).choose(labels) != expected
    assert Subset('test', num_shots=2).choose(labels) == list(range(7))


def test_validation_is_held_out_and_does_not_change_the_shots():
    labels = [i % 4 for i in range(200)]
    parts = {s: Subset(s, val_ratio=0.2).choose(labels) for s in ('train', 'val')}
    assert sorted(parts['train'] + parts['val']) == list(range(200))
    assert [sum(labels[i] == k for i in parts['val']) for k in range(4)] == [10] * 4
    few = Subset('train', num_shots=16, val_ratio=0.2).choose(labels)
    assert few == Subset('train', num_shots=16).choose(labels)
    val = Subset('val', num_shots=16, val_ratio=0.2).choose(labels)
    assert len(val) == 40 and not set(val) & set(few)
    assert val == Subset('val', num_shots=16, val_ratio=0.2).choose(labels)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(split='dev'), "split: 'dev'"),
        (dict(split='val'), 'val_ratio: 0'),
        (dict(split='train', num_shots=0), 'num_shots: 0'),
        (dict(split='train', val_ratio=1), 'val_ratio: 1'),
    ],
)
def test_bad_subsets(options, message):
    with pytest.raises(ValueError, match=message):
        Subset(**options)


def test_nothing_left_to_validate_on():
    with pytest.raises(ValueError, match="split='val': of 4 .* none is left"):
        Subset('val', num_shots=2, val_ratio=0.5).choose([0, 0, 1, 1])


# h5 files.


def write_h5(path, labels, start=0, **options):
    clouds = np.random.RandomState(start).uniform(-1, 1, (len(labels), 16, 3)).astype(np.float32)
    clouds[:, 0, 0] = start + np.arange(len(labels))
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        file.create_dataset('data', data=clouds, **options)
        file.create_dataset('label', data=np.array(labels, np.uint8)[:, None])
    return clouds


@pytest.fixture
def modelnet(tmp_path):
    names = [name.replace(' ', '_') for name in class_names('modelnet40')]
    (tmp_path / 'shape_names.txt').write_text('\n'.join(names) + '\n')
    far = 'data/somebody/modelnet40_ply_hdf5_2048/'
    (tmp_path / 'train_files.txt').write_text(f'{far}ply_data_train0.h5\n{far}ply_data_train1.h5\n')
    (tmp_path / 'test_files.txt').write_text(f'{far}ply_data_test0.h5\n')
    write_h5(tmp_path / 'ply_data_train0.h5', [0, 1, 0, 1], compression='gzip')
    write_h5(tmp_path / 'ply_data_train1.h5', [1, 2, 0], start=4)
    write_h5(tmp_path / 'ply_data_test0.h5', [39, 2, 14], start=7)
    return tmp_path


def test_modelnet_h5(modelnet):
    data = build('ModelNetH5', data_root=str(modelnet))
    assert len(data) == 3 and labels_of(data) == [39, 2, 14]
    assert data.metainfo['classes'] == class_names('modelnet40')
    assert data.metainfo['classes'][15] == 'flower pot'
    item = data[1]
    assert item['inputs'].shape == (16, 3) and item['inputs'].dtype == torch.float32
    assert item['inputs'][0, 0] == 8 and int(item['data_samples'].gt_label) == 2
    assert item['data_samples'].points_path.endswith('ply_data_test0.h5#1')
    train = build('ModelNetH5', data_root=str(modelnet), split='train')
    assert labels_of(train) == [0, 1, 0, 1, 1, 2, 0]
    assert [float(train[i]['inputs'][0, 0]) for i in range(7)] == list(range(7))


def test_modelnet_h5_shots_keep_their_clouds(modelnet):
    data = build('ModelNetH5', data_root=str(modelnet), split='train', num_shots=2)
    assert labels_of(data) == [0, 0, 1, 1, 2, 2]
    chosen = Subset('train', num_shots=2).choose([0, 1, 0, 1, 1, 2, 0])
    assert [int(data[i]['inputs'][0, 0]) for i in range(6)] == chosen
    assert chosen[4] == chosen[5] == 5
    data[4]['inputs'].zero_()
    assert data[4]['inputs'][0, 0] == 5  # the store is not what a pipeline changes


def test_modelnet10_of_the_h5_files(modelnet):
    data = build('ModelNetH5', data_root=str(modelnet), split='test', version=10)
    assert data.metainfo['classes'] == class_names('modelnet10')
    assert [data.metainfo['classes'][i] for i in labels_of(data)] == ['bed', 'dresser']
    assert float(data[1]['inputs'][0, 0]) == 9


def test_what_is_wrong_with_h5_files_is_named(modelnet, monkeypatch):
    test_file = modelnet / 'ply_data_test0.h5'

    def fails(error, message):
        with pytest.raises(error, match=message):
            build('ModelNetH5', data_root=str(modelnet))

    write_h5(test_file, [40])
    fails(ValueError, r'ply_data_test0.h5: has labels 40 to 40, there are 40')
    with h5py.File(test_file, 'w') as file:
        file['label'] = np.zeros((2, 1), int)
        file['data'] = np.zeros((3, 16, 3))
    fails(ValueError, r"ply_data_test0.h5: 'data' is \(3, 16, 3\), not \(2, points, 3\)")
    with h5py.File(test_file, 'w') as file:
        file['label'] = np.zeros((2, 1), int)
        file.create_dataset('data', (10**7, 2048, 3), 'f4', chunks=(1, 2048, 3))
    fails(ValueError, r"ply_data_test0.h5: 'data' claims")
    with h5py.File(test_file, 'w') as file:
        file['label'] = h5py.ExternalLink('ply_data_train0.h5', 'label')
    fails(ValueError, "ply_data_test0.h5: 'label' is no dataset of this file")
    test_file.write_bytes(test_file.read_bytes()[:100])
    fails(ValueError, 'ply_data_test0.h5: .*download it again')
    test_file.unlink()
    fails(FileNotFoundError, 'ply_data_test0.h5')
    (modelnet / 'test_files.txt').unlink()
    fails(FileNotFoundError, 'test_files.txt does not exist; docs/en/datasets.md')
    with pytest.raises(ValueError, match='version: 20'):
        build('ModelNetH5', data_root=str(modelnet), version=20)
    monkeypatch.setitem(__import__('sys').modules, 'h5py', None)
    with pytest.raises(ImportError, match='h5py.*pip install'):
        build('ModelNetH5', data_root=str(modelnet), split='train')


@pytest.mark.parametrize(
    ('variant', 'file'),
    [
        ('obj_only', 'main_split_nobg/test_objectdataset.h5'),
        ('obj_bg', 'main_split/test_objectdataset.h5'),
        ('pb_t50_rs', 'main_split/test_objectdataset_augmentedrot_scale75.h5'),
    ],
)
def test_scan_object_nn(tmp_path, variant, file):
    write_h5(tmp_path / file, [14, 0])
    data = build('ScanObjectNN', data_root=str(tmp_path), variant=variant)
    assert labels_of(data) == [14, 0] and data.metainfo['classes'][14] == 'toilet'
    with pytest.raises(FileNotFoundError, match=file.replace('test', 'training').split('/')[1]):
        build('ScanObjectNN', data_root=str(tmp_path), variant=variant, split='train')
    for bad in (dict(variant='obj'), dict(fold='split9')):
        with pytest.raises(ValueError, match=next(iter(bad))):
            build('ScanObjectNN', data_root=str(tmp_path), **bad)


# Folders and lists.


def test_modelnet_folder_of_meshes(tmp_path):
    pytest.importorskip('trimesh')
    for name in class_names('modelnet10'):
        for part in ('train', 'test'):
            (tmp_path / name.replace(' ', '_') / part).mkdir(parents=True)
    (tmp_path / 'night_stand/test/night_stand_0201.off').write_text('OFF' + MESH)
    (tmp_path / 'bed/test/bed_0516.off').write_text('OFF\n' + MESH)
    options = dict(data_root=str(tmp_path), version=10)
    load = [dict(type='mmclip.LoadPoints', num_points=30), dict(type='mmclip.PackPointInputs')]
    data = build('ModelNetFolder', pipeline=load, **options)
    assert [data.metainfo['classes'][i] for i in labels_of(data)] == ['bed', 'night stand']
    assert data[1]['inputs'].shape == (30, 3)
    assert torch.equal(data[1]['inputs'], data[1]['inputs'])
    with pytest.raises(ValueError, match='data_root: no file'):
        build('ModelNetFolder', split='train', **options)
    (tmp_path / 'sofa/test').rmdir()
    with pytest.raises(FileNotFoundError, match='sofa/test'):
        build('ModelNetFolder', **options)


def test_modelnet_folder_of_texts(tmp_path):
    (tmp_path / 'night_stand').mkdir()
    (tmp_path / 'night_stand/night_stand_0201.txt').write_text('0,0,1,0,0,1\n1,0,0,0,0,1\n')
    (tmp_path / 'modelnet40_test.txt').write_text('night_stand_0201\n\n')
    data = build('ModelNetFolder', data_root=str(tmp_path), layout='txt')
    assert labels_of(data) == [class_names('modelnet40').index('night stand')]
    assert data[0]['inputs'].tolist() == [[0, 0, 1], [1, 0, 0]]
    (tmp_path / 'modelnet40_test.txt').write_text('night_stand_0201\nrocket_0001\n')
    with pytest.raises(ValueError, match="modelnet40_test.txt line 2: 'rocket_0001'"):
        build('ModelNetFolder', data_root=str(tmp_path), layout='txt')
    with pytest.raises(FileNotFoundError, match='modelnet40_train.txt'):
        build('ModelNetFolder', data_root=str(tmp_path), layout='txt', split='train')
    for bad in (dict(layout='ply'), dict(version=3)):
        with pytest.raises(ValueError, match=next(iter(bad))):
            build('ModelNetFolder', data_root=str(tmp_path), **bad)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('own/mug/a b.xyz', 'own/mug/b.xyz', 'own/traffic_cone/c.pts'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('0 0 1\n1 0 0\n0 1 0\n')
    (tmp_path / 'own/mug/notes.md').write_text('no cloud')
    return tmp_path / 'own'


def test_own_clouds_in_folders(own):
    data = build('PointCloudList', data_root='own')  # a relative folder
    assert data.metainfo['classes'] == ('mug', 'traffic cone') and labels_of(data) == [0, 0, 1]
    assert data[2]['inputs'].shape == (3, 3)
    with pytest.raises(ValueError, match='holds 2 folders, there are 3'):
        build('PointCloudList', data_root='own', classes=['a', 'b', 'c'])
    with pytest.raises(FileNotFoundError, match='gone'):
        build('PointCloudList', data_root='gone')
    (own / 'traffic_cone/c.pts').unlink()
    data = build('PointCloudList', data_root='own', split='train', num_shots=1)
    assert labels_of(data) == [0]


def test_own_clouds_in_lists(own):
    with (own / 'list.csv').open('w', newline='') as stream:
        rows = [('mug/a b.xyz', 'mug', 'base'), ('traffic_cone/c.pts', 'cone', 'novel')]
        csv.writer(stream).writerows([('file', 'name', 'split'), *rows])
    data = build('PointCloudList', data_root='own', ann_file='list.csv')
    assert data.metainfo['classes'] == ('cone', 'mug') and labels_of(data) == [1, 0]
    assert data[0]['inputs'].shape == (3, 3)
    novel = build('PointCloudList', data_root='own', ann_file='list.csv', splits=['novel'])
    assert labels_of(novel) == [0]
    (own / 'list.txt').write_text('a b.xyz 1\n')
    data = build(
        'PointCloudList',
        data_root='own',
        ann_file='list.txt',
        classes=['cone', 'mug'],
        data_prefix=dict(points_path='mug'),
    )
    assert labels_of(data) == [1] and data[0]['inputs'].shape == (3, 3)
    with pytest.raises(ValueError, match="'dgo' is not among|close names"):
        (own / 'list.csv').write_text('file,name\na,dgo\n')
        build('PointCloudList', data_root='own', ann_file='list.csv', classes=['dog'])


@pytest.mark.parametrize('name', ['modelnet10', 'modelnet40', 'scan_object_nn'])
def test_base_configs_follow_the_recipe(name):
    config = Config.fromfile(config_path(f'_base_/datasets/{name}.py'))
    train = config.train_dataloader
    assert (train.batch_size, train.drop_last, config.test_dataloader.batch_size) == (32, True, 100)
    assert (train.dataset.num_shots, train.dataset.shots_seed) == (16, 2)
    kinds = [step.type.removeprefix('mmclip.') for step in train.dataset.pipeline]
    assert kinds[-4:] == [
        'FirstNPoints',
        'RandomScaleShiftPoints',
        'ShufflePoints',
        'PackPointInputs',
    ]
    with pytest.raises(FileNotFoundError, match=r'docs/en/datasets.md'):
        DATASETS.build(dict(config.test_dataloader.dataset, data_root='gone'))
