"""The open-vocabulary dataset: classes, splits, boxes, and what it does with bad files."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine import Config
from mmengine.registry import DATASETS, METRICS, TRANSFORMS

from mmclip import config_path
from mmclip.datasets.annotation_file import read_annotation_file
from mmclip.datasets.lvis import OpenVocabLVISDataset

ROOT = Path(__file__).resolve().parents[2]
# Ids with gaps, in no order.
CATEGORIES = [
    dict(id=30, name='fork', frequency='f'),
    dict(id=3, name='cat', frequency='r'),
    dict(id=8, name='dog_(hot)', frequency='c'),
]
LOAD = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]


def annotation(index, image_id, category_id, box=(2, 3, 10, 6), **more):
    x, y, w, h = box
    polygon = [[x, y, x + w, y, x + w, y + h]]
    return dict(
        id=index,
        image_id=image_id,
        category_id=category_id,
        bbox=list(box),
        area=w * h,
        segmentation=polygon,
        **more,
    )


def content():
    return dict(
        categories=CATEGORIES,
        images=[
            dict(id=7, width=40, height=30, file_name='a/1.png'),
            dict(id=9, width=40, height=30, coco_url='http://host/x/y/a/2.png'),
            dict(id=12, width=40, height=30, file_name='a/3.png'),
        ],
        annotations=[annotation(1, 7, 30), annotation(2, 7, 3), annotation(3, 9, 8)],
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'a').mkdir()
    for index in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f'a/{index}.png'), np.full((30, 40, 3), 60 * index, np.uint8))
    return tmp_path


def build(folder, data, **kwargs):
    (folder / 'ann.json').write_text(json.dumps(data))
    kwargs.setdefault('pipeline', LOAD)
    return OpenVocabLVISDataset(
        data_root=str(folder), ann_file='ann.json', data_prefix=dict(img=''), **kwargs
    )


def test_classes_come_in_order_of_ids_with_gaps(folder):
    dataset = build(folder, content())
    assert dataset.metainfo['classes'] == ('cat', 'dog_(hot)', 'fork')
    assert dataset.metainfo['splits'] == ('novel', 'base', 'base')
    assert dataset.metainfo['novel'] == ('cat',)
    assert [i['bbox_label'] for i in dataset.get_data_info(0)['instances']] == [2, 0]
    assert dataset.get_data_info(0)['instances'][0]['bbox'] == [2, 3, 12, 9]
    assert dataset.get_cat_ids(1) == [1]


def test_images_are_found_by_file_name_and_by_url_and_stay_without_boxes(folder):
    dataset = build(folder, content(), filter_cfg=dict(filter_empty_gt=False))
    paths = [dataset.get_data_info(i)['img_path'] for i in range(3)]
    assert paths == [str(folder / f'a/{i}.png') for i in (1, 2, 3)]
    sample = dataset[2]
    assert sample['inputs'].shape == (3, 30, 40)
    assert sample['data_samples'].gt_instances.bboxes.shape == (0, 4)
    assert len(build(folder, content(), filter_cfg=dict(filter_empty_gt=True))) == 2
    assert len(build(folder, content(), filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 3


def test_boxes_of_novel_classes_are_dropped_and_their_images_stay(folder):
    dataset = build(folder, content(), drop_novel_boxes=True)
    assert len(dataset) == 3
    assert [i['bbox_label'] for i in dataset.get_data_info(0)['instances']] == [2]
    assert dataset.metainfo['classes'] == ('cat', 'dog_(hot)', 'fork')


def test_novel_classes_by_argument_and_by_split(folder):
    assert build(folder, content(), novel=['fork']).metainfo['novel'] == ('fork',)
    data = content()
    data['categories'] = [
        dict(record, split=split)
        for record, split in zip(CATEGORIES, ('unseen', 'base', 'novel'), strict=True)
    ]
    metainfo = build(folder, data).metainfo
    assert metainfo['splits'] == ('base', 'novel', 'unseen')
    assert metainfo['novel'] == ('dog_(hot)', 'fork')
    coco = content()
    coco['categories'] = [dict(id=r['id'], name=r['name']) for r in CATEGORIES]
    assert build(folder, coco).metainfo['novel'] == ()
    coco['categories'] = [dict(id=1, name='cat'), dict(id=2, name='person')]
    coco['annotations'] = []
    assert build(folder, coco, novel='ov_coco').metainfo['splits'] == ('novel', 'base')
    with pytest.raises(ValueError, match=r"novel='frok'.*\['fork'\]"):
        build(folder, content(), novel=['frok'])


def test_classes_can_be_chosen_and_ordered(folder):
    dataset = build(folder, content(), metainfo=dict(classes=('fork', 'cat')))
    assert dataset.metainfo['splits'] == ('base', 'novel')
    assert [i['bbox_label'] for i in dataset.get_data_info(0)['instances']] == [0, 1]
    assert dataset.get_data_info(1)['instances'] == []
    with pytest.raises(ValueError, match=r"class 'hot_dog' is not a category of .*ann\.json"):
        build(folder, content(), metainfo=dict(classes=('hot_dog',)))
    with pytest.raises(ValueError, match='more than once'):
        build(folder, content(), metainfo=dict(classes=('cat', 'cat')))


def test_masks_and_crowds(folder):
    data = content()
    data['annotations'][0]['iscrowd'] = 1
    data['annotations'][0]['segmentation'] = dict(size=[30, 40], counts=[0, 1200])
    pipeline = [LOAD[0], dict(LOAD[1], with_mask=True), LOAD[2]]
    sample = build(folder, data, pipeline=pipeline)[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0]
    assert sample.ignored_instances.labels.tolist() == [2]
    assert sample.ignored_instances.masks.masks.sum() == 1200
    assert 20 <= sample.gt_instances.masks.masks.sum() <= 45  # a triangle of area 30
    assert 'mask' not in build(folder, data, load_masks=False).get_data_info(0)['instances'][0]


@pytest.fixture
def warned(caplog):
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance('test_lvis')
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_useless_boxes_are_dropped_and_counted_in_one_line(folder, warned):
    data = content()
    boxes = [(2, 3, 0, 6), (2, 3, 5, 0), (50, 3, 5, 5), (2, 3, float('nan'), 5), (-3, -3, 2, 2)]
    data['annotations'] += [annotation(10 + i, 12, 8, box) for i, box in enumerate(boxes)]
    data['annotations'].append(annotation(20, 99, 8))
    dataset = build(folder, data)
    assert dataset.get_data_info(2)['instances'] == []
    lines = [r.getMessage() for r in warned.records if r.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert 'ann.json' in lines[0]
    assert '5 smaller than a pixel or outside the image' in lines[0]
    assert '1 without an image' in lines[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda d: d['annotations'].append(annotation(5, 7, 4)),
            r'annotation 5 of .*ann\.json: names category 4',
        ),
        (lambda d: d.update(categories=CATEGORIES + [dict(id=31, name='cat')]), "the name 'cat'"),
        (lambda d: d.update(categories=CATEGORIES + [dict(id=30, name='pig')]), 'the id 30'),
        (lambda d: d.update(categories=[dict(id=1, name=' ')]), 'not a word'),
        (lambda d: d.update(categories=[]), 'no categories'),
        (lambda d: d.pop('annotations'), 'must hold'),
        (lambda d: d.update(categories=[dict(id=1)]), 'lacks id or name'),
        (lambda d: d['annotations'][0].pop('bbox'), "lacks the entry 'bbox'"),
        (lambda d: d['images'][0].pop('width'), "lacks the entry 'width'"),
        (lambda d: d['images'].append(d['images'][0]), 'two with the same id'),
        (lambda d: d.update(images=[]), 'no image'),
        (lambda d: d['images'].append(dict(id=1, width=4, height=4)), 'neither file_name nor'),
    ],
)
def test_bad_annotation_files_are_clear_errors(folder, change, message):
    data = content()
    change(data)
    with pytest.raises(ValueError, match=message) as info:
        build(folder, data)
    assert 'ann.json' in str(info.value)


def first(**row):
    """A change of the first annotation."""
    return lambda d: d['annotations'][0].update(row)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda d: d['annotations'][0].pop('image_id'), "annotation 1 of .* the entry 'image_id'"),
        (lambda d: d['annotations'][0].pop('category_id'), "annotation 1 .* 'category_id'"),
        (first(category_id=[3]), 'annotation 1 of .*unhashable'),
        (first(image_id={}), 'annotation 1 of .*unhashable'),
        (first(bbox=['a', 'b', 'c', 'd']), 'annotation 1 of .*width, height'),
        (first(bbox='1234'), 'annotation 1 of .*width, height'),
        (first(bbox=[1, 2, 3]), 'annotation 1 of .*width, height'),
        (first(bbox=None), 'annotation 1 of .*width, height'),
        (first(bbox=[10**400, 1, 3, 3.5]), 'annotation 1 of .*width, height'),
        (first(area='big'), 'annotation 1 of .*area a number'),
        (first(segmentation=[['x'] * 6]), 'annotation 1 of .*polygons'),
        (first(segmentation=[[1, 2, 3, 4, 5, float('nan')]]), 'annotation 1 of .*polygons'),
        (first(segmentation=[[1, 2, 3, 4, 5, float('inf')]]), 'annotation 1 of .*polygons'),
        (first(segmentation=[[[1, 2]]]), 'annotation 1 of .*polygons'),
        (first(segmentation=[1, 2, 3, 4, 5, 6]), 'annotation 1 of .*polygons'),
        (first(segmentation='abc'), 'annotation 1 of .*run lengths'),
        (first(segmentation=dict(size=5, counts=[])), 'annotation 1 of .*run lengths'),
        (lambda d: d.update(annotations=None), 'annotations is no list but NoneType'),
        (lambda d: d['annotations'].append(None), 'entry 3 of annotations is no object but None'),
        (lambda d: d['images'].append([]), 'entry 3 of images'),
        (lambda d: d['categories'].append('cat'), 'entry 3 of categories'),
        (lambda d: d['images'][0].update(width=float('nan')), 'image 7 of .*nan'),
        (lambda d: d['images'][0].update(width=float('inf')), 'image 7 of .*inf'),
        (lambda d: d['images'][0].update(height='x'), 'image 7 of .*TypeError'),
        (lambda d: d['images'][0].update(id=[7]), 'of .*unhashable'),
        (lambda d: d['images'][0].pop('id'), "image number 0 of .*'id'"),
        (lambda d: d['images'][0].update(file_name=3), 'image 7 of .*file_name is 3'),
    ],
)
def test_a_bad_record_is_named(folder, change, message):
    data = content()
    data['categories'] = list(CATEGORIES)
    change(data)
    with pytest.raises(ValueError, match=message) as info:
        build(folder, data)
    assert 'ann.json' in str(info.value)


@pytest.mark.parametrize('id_', [None, [1], 'a', {}])
def test_a_bad_id_of_a_category_is_named(folder, id_):
    data = content() | dict(categories=[*CATEGORIES, dict(id=id_, name='pig')])
    with pytest.raises(ValueError, match=r'ann\.json'):
        build(folder, data)


def test_infinite_boxes_and_those_of_area_0_are_dropped_and_counted(folder, warned):
    data = content()
    inf = float('inf')
    boxes = [(0, 0, inf, inf), (-inf, 0, 5, 5), (2, 3, 5, inf)]
    data['annotations'] += [annotation(10 + i, 12, 8, box) for i, box in enumerate(boxes)]
    data['annotations'].append(annotation(20, 12, 8) | dict(area=0))
    no_area = annotation(21, 12, 8)
    del no_area['area']
    data['annotations'].append(no_area)
    assert len(build(folder, data).get_data_info(2)['instances']) == 1  # the one without `area`
    text = ' '.join(record.getMessage() for record in warned.records)
    assert '3 smaller than a pixel or outside the image' in text and '1 of area 0' in text


@pytest.mark.parametrize('empty', [[], None])
def test_a_box_without_mask_is_ignored_where_masks_are_loaded(folder, empty):
    data = content()
    data['annotations'][1]['segmentation'] = empty
    pipeline = [LOAD[0], dict(LOAD[1], with_mask=True), LOAD[2]]
    sample = build(folder, data, pipeline=pipeline)[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [2]
    assert sample.ignored_instances.labels.tolist() == [0]
    assert len(build(folder, data)[0]['data_samples'].gt_instances) == 2


def test_missing_and_cut_off_annotation_files(folder):
    with pytest.raises(FileNotFoundError, match='make_mini_world'):
        OpenVocabLVISDataset(data_root=str(folder), ann_file='none.json')
    (folder / 'ann.json').write_text(json.dumps(content())[:100])
    with pytest.raises(ValueError, match=r'ann\.json: is no json or is cut off'):
        OpenVocabLVISDataset(data_root=str(folder), ann_file='ann.json')


@pytest.mark.parametrize(
    ('damage', 'error', 'message'),
    [
        (lambda path: path.unlink(), FileNotFoundError, 'does not exist'),
        (lambda path: path.write_bytes(b'not an image'), ValueError, 'not a readable image'),
        (lambda path: path.write_bytes(b''), ValueError, 'not a readable image'),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), ValueError, 'not a readable'),
    ],
)
@pytest.mark.parametrize('test_mode', [False, True])
def test_bad_images_stop_with_their_name_or_are_skipped_and_counted(
    folder, damage, error, message, test_mode
):
    damage(folder / 'a/2.png')
    with pytest.raises(error, match=rf'a/2\.png.*{message}.*ann\.json'):
        build(folder, content(), test_mode=test_mode)[1]
    dataset = build(folder, content(), test_mode=test_mode, skip_bad_images=True)
    if test_mode:
        with pytest.raises(error, match=message):
            dataset[1]
    else:
        np.random.seed(0)
        assert dataset[1]['data_samples'].img_id in (7, 12)
        assert list(dataset.bad_images) == [str(folder / 'a/2.png')]


def test_all_images_bad_ends_after_max_refetch(folder):
    for index in (1, 2, 3):
        (folder / f'a/{index}.png').unlink()
    with pytest.raises(Exception, match='Cannot find valid image after 4'):
        build(folder, content(), skip_bad_images=True, max_refetch=4)[0]


def test_other_errors_of_the_pipeline_are_not_hidden(folder):
    dataset = build(folder, content(), pipeline=[lambda info: 1 / 0], skip_bad_images=True)
    with pytest.raises(ZeroDivisionError):
        dataset[0]


def test_no_image_left_is_an_error(folder):
    with pytest.raises(ValueError, match='leaves no image'):
        build(folder, content(), filter_cfg=dict(min_size=100))


def test_proposals_are_the_resized_boxes_without_crowds(folder):
    data = content()
    data['annotations'][1]['iscrowd'] = 1
    pipeline = [
        *LOAD[:2],
        dict(type='mmdet.Resize', scale=(80, 60), keep_ratio=True),
        dict(type='mmclip.ProposalsFromGT'),
        LOAD[2],
    ]
    dataset = build(folder, data, pipeline=pipeline)
    sample = dataset[0]['data_samples']
    assert sample.proposals.bboxes.tolist() == [[4, 6, 24, 18]]
    assert sample.proposals.scores.tolist() == [1]
    assert sample.gt_instances.labels.tolist() == [2]
    assert dataset[2]['data_samples'].proposals.bboxes.shape == (0, 4)
    with pytest.raises(ValueError, match='LoadAnnotations'):
        TRANSFORMS.build(dict(type='mmclip.ProposalsFromGT'))({})


@pytest.mark.parametrize('name', ['lvis_detection', 'lvis_instance', 'mini_world_detection'])
def test_the_training_pipelines_of_the_configs_run(folder, name):
    config = Config.fromfile(config_path(f'_base_/datasets/{name}.py'))
    (folder / 'ann.json').write_text(json.dumps(content()))
    setting = config.train_dataloader.dataset.to_dict()
    setting |= dict(data_root=str(folder), ann_file='ann.json', filter_cfg=None)
    dataset = DATASETS.build(setting)
    np.random.seed(0)
    for index in range(len(dataset)):
        sample = dataset[index]
        boxes, meta = sample['data_samples'].gt_instances.bboxes, sample['data_samples']
        height, width = sample['inputs'].shape[1:]
        assert max(height, width) <= (128 if 'mini' in name else 1024)
        assert (boxes.tensor >= 0).all() and (boxes.tensor[:, 2] <= width).all()
        assert ('masks' in meta.gt_instances) == (name == 'lvis_instance')


def test_own_data_as_the_guide_says(folder):
    """The config of docs/en/guides/own_data.md on a COCO file whose ids have gaps."""
    guide = (ROOT / 'docs/en/guides/own_data.md').read_text()
    text = guide.split('```python\n')[1].split('```')[0]
    data = content()
    data['categories'] = [dict(id=r['id'], name=r['name']) for r in CATEGORIES]
    for image in data['images']:
        image['file_name'] = image.pop('coco_url', 'x/' + image.get('file_name', ''))[-7:]
    for name in ('train', 'val'):
        (folder / f'{name}.json').write_text(json.dumps(data))
    assert "data = 'data/mine/'" in text
    (folder / 'mine.py').write_text(text.replace("'data/mine/'", repr(f'{folder}/')))
    config = Config.fromfile(folder / 'mine.py')
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert loader.dataset.data_root == f'{folder}/'
        dataset = DATASETS.build(loader.dataset)
        assert dataset.metainfo['classes'] == ('cat', 'dog_(hot)', 'fork')
        assert [len(dataset[i]['data_samples'].gt_instances) for i in range(3)] == [2, 1, 0]
    assert config.test_dataloader.dataset.ann_file == 'val.json'
    assert config.test_evaluator == config.val_evaluator
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    truth = [dict(bbox=[2, 3, 12, 9], label=2), dict(bbox=[2, 3, 12, 9], label=0)]
    instances = dict(
        bboxes=np.array([t['bbox'] for t in truth]),
        labels=np.array([t['label'] for t in truth]),
        scores=np.ones(2),
    )
    metric.process(None, [dict(img_id=7, pred_instances=instances)])
    assert metric.evaluate(3)['lvis/bbox_AP'] == pytest.approx(2 / 3)


def test_hands_over_its_class_names_without_keeping_them_per_image(folder):
    prompts = dict(cat=dict(prefix='a '))
    dataset = build(
        folder, content(), return_classes=True, caption_prompt=prompts, serialize_data=False
    )
    info = dataset.get_data_info(0)
    assert info['text'] == dataset.metainfo['classes'] == ('cat', 'dog_(hot)', 'fork')
    assert info['caption_prompt'] == prompts
    assert 'text' not in dataset.data_list[0]


@pytest.mark.parametrize('masks', ['none', 'arrays'])
def test_both_readers_give_the_same(folder, masks):
    data = content()
    runs = dict(size=[30, 40], counts=[0, 1200])
    data['annotations'][0] |= dict(bbox=[1, 2.5, 3, 4], iscrowd=1, segmentation=runs, more='x')
    data['annotations'][1]['segmentation'] = None
    data['images'][0]['neg_category_ids'] = [8]  # the evaluation asks for it
    (folder / 'typed.json').write_text(json.dumps(data))
    data['info'] = float('nan')  # only json of Python reads it
    (folder / 'plain.json').write_text(json.dumps(data))
    typed, plain = (
        read_annotation_file(folder / f'{name}.json', masks=masks) for name in ('typed', 'plain')
    )
    assert typed['categories'] == plain['categories'] and plain['info'] != plain['info']
    assert typed['images'] == plain['images'] and plain['images'][0]['neg_category_ids'] == [8]
    for row, other in zip(typed['annotations'], plain['annotations'], strict=True):
        shapes, others = row.pop('segmentation', None), other.pop('segmentation', None)
        assert 'more' not in row
        assert row == {key: other[key] for key in row}
        assert [type(x) for x in row.get('bbox', ())] == [type(x) for x in other.get('bbox', ())]
        if not isinstance(shapes, list):
            assert shapes == others
            continue
        for polygon, ours in zip(shapes, others, strict=True):
            assert polygon.dtype == ours.dtype == np.float64
            assert polygon.tolist() == ours.tolist()
