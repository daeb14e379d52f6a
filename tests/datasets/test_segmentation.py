"""Masks, label files, folds and augmentation: what is read, and what is refused."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from mmclip.datasets.fold_benchmarks import fold_classes
from mmclip.datasets.fold_segmentation import FoldSegDataset
from mmclip.datasets.segmentation import OpenVocabSegDataset
from mmclip.datasets.transforms.segmentation import (
    LoadSegMap,
    RandomLongSideCrop,
    ShortSideCenterCrop,
    SquareResize,
)
from mmclip.text.class_names import read_class_names

LOAD = [dict(type='mmcv.LoadImageFromFile'), dict(type='mmclip.LoadSegMap')]


def folder_of(tmp_path, masks, suffix='.png'):
    """images/ and masks/ with one gray image per mask."""
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir(exist_ok=True)
    for name, mask in masks.items():
        mask = np.asarray(mask)
        cv2.imwrite(str(tmp_path / 'masks' / f'{name}.png'), mask)
        cv2.imwrite(str(tmp_path / 'images' / f'{name}{suffix}'), np.full(mask.shape, 90, np.uint8))
    return tmp_path


def dataset(root, pipeline=LOAD, **kwargs):
    return OpenVocabSegDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        pipeline=pipeline,
        **kwargs,
    )


def test_values_name_words_and_0_is_the_background(tmp_path):
    root = folder_of(tmp_path, dict(a=np.array([[0, 1], [2, 255]], np.uint8)))
    data = dataset(root, classes=['cat', 'dog'], background_word='other')
    assert data.metainfo['classes'] == ('other', 'cat', 'dog')
    assert data[0]['gt_seg_map'].tolist() == [[0, 1], [2, 255]]


def test_reduce_zero_label_ignores_0(tmp_path):
    root = folder_of(tmp_path, dict(a=np.array([[0, 1], [2, 1]], np.uint8)))
    data = dataset(root, classes=['cat', 'dog'], reduce_zero_label=True)
    assert data[0]['gt_seg_map'].tolist() == [[255, 0], [1, 0]]


@pytest.mark.parametrize('reduce, values', [(False, [3, 7]), (True, [4, 7])])
def test_a_value_outside_the_list(tmp_path, reduce, values):
    root = folder_of(tmp_path, dict(a=np.array([[0, *values]], np.uint8)))
    data = dataset(root, classes=['x', 'y', 'z'], reduce_zero_label=reduce)
    with pytest.raises(ValueError, match=rf'a.png holds the values \[{values[0]}, 7\]; allowed'):
        data[0]


def test_16_bits_and_kept_groups(tmp_path):
    names = [f'thing {i}' for i in range(300)]
    splits = {name: 'base' if i % 2 else 'novel' for i, name in enumerate(names)}
    root = folder_of(tmp_path, dict(a=np.array([[0, 1, 2, 300, 65535]], np.uint16)))
    options = dict(classes=names, background_word='nothing', splits=splits, ignore_index=65535)
    whole = dataset(root, **options)
    assert whole[0]['gt_seg_map'].tolist() == [[0, 1, 2, 300, 65535]]
    kept = dataset(root, keep=['base'], **options)
    # value 2 is 'thing 1', the first base name; 'thing 0' is novel: ignored
    assert kept.metainfo['classes'][:2] == ('nothing', 'thing 1')
    assert kept[0]['gt_seg_map'].tolist() == [[0, 65535, 1, 150, 65535]]
    with pytest.raises(ValueError, match=r"keep: \['rare'\]"):
        dataset(root, keep=['rare'], **options)


def test_label_files(tmp_path):
    root = folder_of(tmp_path, dict(a=np.zeros((2, 2), np.uint8)))
    labels = tmp_path / 'labels.txt'
    labels.write_text('cat\n\n  red car \n')
    assert dataset(root, classes=str(labels)).metainfo['classes'] == ('cat', 'red car')
    labels.write_text('\ufeffcat\n')  # as some editors begin a file
    assert read_class_names(str(labels)) == ('cat',)
    labels.write_text('cat\ndog\ncat\n')
    with pytest.raises(ValueError, match=r"labels.txt: .*more than once: 'cat'"):
        dataset(root, classes=str(labels))
    with pytest.raises(FileNotFoundError, match='none.txt'):
        dataset(root, classes=str(tmp_path / 'none.txt'))
    with pytest.raises(ValueError, match="more than once: 'cat'"):
        dataset(root, classes=['cat', 'dog'], background_word='cat')


def test_the_official_table_of_ade20k_is_no_list_of_words(tmp_path):
    table = tmp_path / 'ade20k_objectInfo150.txt'
    table.write_text('Idx,Ratio,Train,Val,Stuff,Name\n1,0.1576,11664,1172,1,wall\n')
    with pytest.raises(ValueError, match="is a table.*classes='ade20k_official'"):
        read_class_names(str(table))


def test_an_ignored_value_that_is_a_class(tmp_path):
    root = folder_of(tmp_path, {'a': np.zeros((4, 4), np.uint8)})
    names = [f'thing {i}' for i in range(300)]
    with pytest.raises(ValueError, match='ignore_index: 255 is the value of one of 300 classes'):
        dataset(root, classes=names)
    assert dataset(root, classes=names, ignore_index=65535)[0]


def test_official_words_of_ade20k_hold_screen_twice():
    names = dict(official='ade20k_official', corrected='ade20k')
    lists = {k: OpenVocabSegDataset(classes=v, lazy_init=True).metainfo['classes']
             for k, v in names.items()}  # fmt: skip
    assert [i for i, name in enumerate(lists['official']) if name == 'screen'] == [58, 130]
    assert (lists['corrected'][58], lists['corrected'][130]) == ('screen door', 'projection screen')


def test_missing_folders_and_masks(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder .*images'):
        dataset(tmp_path, classes=['a'])
    root = folder_of(tmp_path, dict(a=np.zeros((2, 2), np.uint8)))
    (root / 'masks' / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match='no mask .*a.png'):
        dataset(root, classes=['a'])[0]


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'I;16', 'P'])
def test_images_of_any_kind_become_three_channels(tmp_path, mode):
    root = folder_of(tmp_path, dict(a=np.zeros((4, 6), np.uint8)))
    gray = np.arange(24, dtype=np.uint16).reshape(4, 6)
    if mode == 'I;16':
        image = Image.fromarray(gray * 256)
    else:
        image = Image.fromarray(gray.astype(np.uint8)).convert(mode)
    image.save(root / 'images' / 'a.png')
    loaded = dataset(root, classes=['a'])[0]['img']
    assert loaded.shape == (4, 6, 3) and loaded.dtype == np.uint8
    assert loaded[..., 0].tolist() == gray.tolist()


def test_masks_in_color_or_of_another_size(tmp_path):
    root = folder_of(tmp_path, dict(a=np.zeros((4, 6), np.uint8)))
    cv2.imwrite(str(root / 'masks' / 'a.png'), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match='mode RGB'):
        dataset(root, classes=['a'])[0]
    cv2.imwrite(str(root / 'masks' / 'a.png'), np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match='4 x 5 pixels, its image 4 x 6'):
        dataset(root, classes=['a'])[0]


def test_palette_masks_are_read_as_indices(tmp_path):
    root = folder_of(tmp_path, dict(a=np.zeros((1, 3), np.uint8)))
    mask = Image.fromarray(np.array([[0, 1, 255]], np.uint8), mode='P')
    mask.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    mask.save(root / 'masks' / 'a.png')
    assert dataset(root, classes=['a', 'b'])[0]['gt_seg_map'].tolist() == [[0, 1, 255]]


# -- folds --------------------------------------------------------------------------------------


def test_folds_share_no_class_and_leave_none_out():
    for name, count in (('pascal5i', 20), ('coco20i', 80), ('mini_world', 384)):
        tested = [set(fold_classes(name, fold, 'test')) for fold in range(4)]
        assert sorted(i for fold in tested for i in fold) == list(range(count))
        for fold in range(4):
            assert set(fold_classes(name, fold, 'train')) == set(range(count)) - tested[fold]
    assert fold_classes('fss1000', None, 'test') == list(range(760, 1000))
    for arguments, message in (
        (('voc', 0, 'test'), 'benchmark'),
        (('pascal5i', 4, 'test'), 'fold: 4'),
        (('pascal5i', None, 'test'), 'fold: None'),
        (('pascal5i', 0, 'all'), 'part'),
    ):
        with pytest.raises(ValueError, match=message):
            fold_classes(*arguments)


@pytest.fixture
def pascal(tmp_path):
    """Three images; fold 0 tests the classes 1 to 5, as the lists count them."""
    masks = dict(
        a=np.array([[1, 7, 255, 0]], np.uint8),
        b=np.array([[7, 7, 255, 0]], np.uint8),
        c=np.array([[5, 12, 0, 0]], np.uint8),
    )
    for kind in ('JPEGImages', 'SegmentationClassAug'):
        (tmp_path / kind).mkdir()
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / 'SegmentationClassAug' / f'{name}.png'), mask)
        cv2.imwrite(str(tmp_path / 'JPEGImages' / f'{name}.jpg'), np.zeros((1, 4, 3), np.uint8))
    lists = {
        'val/fold0': 'a__01\nc__05\n',
        'trn/fold0': 'a__01\n',
        'trn/fold1': 'a__07\nb__07\n',
        'trn/fold2': 'c__12\n',
        'trn/fold3': '',
    }
    for name, text in lists.items():
        path = tmp_path / 'splits' / f'{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def folds(root, **kwargs):
    options = dict(benchmark='pascal5i', fold=0, data_root=str(root), pipeline=LOAD)
    return FoldSegDataset(**{**options, **kwargs})


def test_testing_repeats_the_list_and_ignores_the_boundary(pascal):
    data = folds(pascal, part='test')
    assert len(data) == 1000
    assert [data.get_data_info(i)['class_id'] for i in range(4)] == [0, 4, 0, 4]
    assert data[0]['gt_seg_map'].tolist() == [[1, 0, 255, 0]]
    assert data.metainfo['classes'][:2] == ('others', 'aeroplane')
    assert data.metainfo['fold_class_ids'] == (0, 1, 2, 3, 4)


def test_training_asks_for_the_other_folds_and_calls_the_boundary_background(pascal):
    data = folds(pascal, part='train', background_word='banana', words='corrected')
    assert [data.get_data_info(i)['class_id'] for i in range(len(data))] == [6, 6, 11]
    assert data[0]['gt_seg_map'].tolist() == [[0, 1, 0, 0]]
    assert data.metainfo['classes'][0] == 'banana' and 'potted plant' in data.metainfo['classes']


def test_bad_folds(pascal, tmp_path):
    with pytest.raises(ValueError, match="words: 'german'"):
        folds(pascal, part='test', words='german')
    with pytest.raises(ValueError, match='words: 2 words for 20 classes'):
        folds(pascal, part='test', words=['a', 'b'])
    with pytest.raises(ValueError, match="more than once: 'cat'"):
        folds(pascal, part='test', background_word='cat')
    (pascal / 'splits/val/fold0.txt').write_text('a__09\n')
    with pytest.raises(ValueError, match=r'asks for the classes \[8\]'):
        folds(pascal, part='test')
    (pascal / 'splits/val/fold0.txt').write_text('a-1\n')
    with pytest.raises(ValueError, match="line 'a-1'"):
        folds(pascal, part='test')
    with pytest.raises(FileNotFoundError, match='fold1.txt'):
        folds(pascal, part='test', fold=1)


def coco(tmp_path):
    table = {str(c): [f'val2014/{c}_{i}.jpg' for i in range(3)] for c in range(0, 80, 4)}
    for kind in ('trn', 'val'):
        path = tmp_path / 'splits' / kind / 'fold0.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        other = {str(int(c) + 1): names for c, names in table.items()}
        path.write_text(json.dumps(table if kind == 'val' else other))
    return tmp_path


def test_coco_draws_1000_questions_by_the_official_generator(tmp_path):
    data = folds(coco(tmp_path), part='test', benchmark='coco20i')
    generator = np.random.RandomState(0)
    for index in range(5):
        class_id = generator.choice(list(range(0, 80, 4)), 1, replace=False)[0]
        name = generator.choice([f'{class_id}_{i}.jpg' for i in range(3)], 1, replace=False)[0]
        row = data.get_data_info(index)
        assert row['class_id'] == class_id and row['img_path'].endswith(f'val2014/{name}')
        assert row['seg_map_path'].endswith(f'annotations/val2014/{name[:-4]}.png')
    assert len(data) == 1000


def test_balanced_training_draws_classes(tmp_path):
    pipeline = [lambda row: row['class_id']]
    data = folds(coco(tmp_path), part='train', benchmark='coco20i', pipeline=pipeline)
    np.random.seed(0)
    drawn = {data[0] for _ in range(400)}
    assert drawn == set(range(1, 80, 4)), 'the index must not tell the class'
    with pytest.raises(ValueError, match='balanced'):
        folds(tmp_path, part='test', benchmark='coco20i', balanced=True)


@pytest.mark.parametrize('channels', [1, 3])
def test_fss_masks_are_cut_at_half(tmp_path, channels):
    from mmclip.text.class_names import class_names

    name = class_names('fss1000')[760]
    for word in class_names('fss1000')[760:]:
        (tmp_path / word).mkdir()
    cv2.imwrite(str(tmp_path / name / '1.jpg'), np.zeros((1, 3, 3), np.uint8))
    mask = np.array([[[0], [127], [128]]], np.uint8)  # in color, too
    cv2.imwrite(str(tmp_path / name / '1.png'), mask.repeat(channels, 2))
    data = folds(tmp_path, part='test', benchmark='fss1000', fold=None)
    assert len(data) == 1 and data[0]['class_id'] == 760
    assert data[0]['gt_seg_map'].tolist() == [[0, 0, 1]]


# -- augmentation -------------------------------------------------------------------------------


def image(height, width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return dict(img=image, gt=image[..., 0] % 7, seg_fields=['gt'], ignore_index=255)


def test_long_side_is_scaled_and_the_rest_padded():
    step = RandomLongSideCrop(base_size=40, crop_size=32)
    for seed in range(20):
        np.random.seed(seed)
        out = step(image(30, 45))
        assert out['img'].shape == (32, 32, 3) and out['gt'].shape == (32, 32)
    results = image(30, 45)
    step.scale_and_pad(results, 24)
    assert results['img'].shape == (32, 32, 3)
    assert (results['gt'][16:] == 255).all() and (results['img'][:, 24:] == 0).all()
    assert (results['gt'][:16, :24] < 7).all()


def test_short_side_and_square():
    out = ShortSideCenterCrop(crop_size=16)(image(30, 45))
    assert out['img'].shape == (16, 16, 3) and out['gt'].shape == (16, 16)
    for size, height, width in ((20, 30, 45), (480, 500, 333)):
        out = SquareResize(size=size)(image(height, width))
        assert out['img'].shape == (size, size, 3)
        mask = torch.tensor(image(height, width)['gt'])[None, None].float()
        expected = torch.nn.functional.interpolate(mask, (size, size), mode='nearest')[0, 0]
        assert np.array_equal(out['gt'], expected.numpy())


def test_masks_of_16_bits_survive_augmentation():
    results = image(30, 45)
    results.update(gt=np.full((30, 45), 60000, np.uint16), ignore_index=65535)
    steps = Compose(
        [
            dict(type='mmseg.RandomFlip', prob=1.0),
            dict(type='mmclip.RandomLongSideCrop', base_size=40, crop_size=64),
            dict(type='mmseg.PackSegInputs', meta_keys=('img_shape',)),
        ]
    )
    results['seg_fields'] = ['gt_seg_map']
    results['gt_seg_map'] = results.pop('gt')
    target = steps(results)['data_samples'].gt_sem_seg.data
    assert set(target.unique().tolist()) <= {60000, 65535} and target.shape == (1, 64, 64)


def test_the_part_of_mini_world(tmp_path):
    from mmclip.datasets.mini_world.make import make
    from mmclip.datasets.mini_world.world import World

    make(tmp_path, parts=('segmentation',), scale=0.02, report=lambda line: None)
    root = tmp_path / 'segmentation'
    world = World(0, 0.02)
    names = (root / 'classes.txt').read_text().split('\n')[:-1]
    assert names == ['background', *world.names]
    options = dict(
        classes='mini_world', splits='mini_world', background_word='background', ignore_index=65535
    )

    def part(name, **more):
        prefix = dict(img_path=f'images/{name}', seg_map_path=f'annotations/{name}')
        return OpenVocabSegDataset(
            data_root=str(root),
            data_prefix=prefix,
            img_suffix='.png',
            pipeline=LOAD,
            **options,
            **more,
        )

    shown = set()
    for row in part('train'):
        shown |= set(np.unique(row['gt_seg_map']).tolist())
    splits = {world.split_of[names[i]] for i in shown - {0, 65535}}
    assert splits == {'base'}, 'training must show no mask of a novel or unseen thing'
    kept = part('train', keep=['base'])
    assert len(kept.metainfo['classes']) == 217
    tested = set()
    for row in part('test'):
        tested |= set(np.unique(row['gt_seg_map']).tolist())
    assert {world.split_of[names[i]] for i in tested - {0}} == {'base', 'novel', 'unseen'}
    assert 65535 not in tested
    for name in ('train', 'test'):
        fold = FoldSegDataset(
            benchmark='mini_world', fold=1, part=name, data_root=str(root), pipeline=LOAD
        )
        row = fold[0]
        assert row['gt_seg_map'].max() == 1
        assert row['class_id'] in fold.metainfo['fold_class_ids']


def test_load_seg_map_is_a_transform_of_its_own():
    with pytest.raises(FileNotFoundError, match='no mask nowhere.png'):
        LoadSegMap()(dict(seg_map_path='nowhere.png', ignore_index=255, num_classes=1))
