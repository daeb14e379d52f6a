"""ODVG files: phrases, boxes, what is dropped, and bad input."""

import json

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmclip.datasets import ODVGDataset

LOAD = [dict(type='mmdet.LoadImageFromFile')]
MASKS = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
CAPTION = 'a red star and a star'


def region(phrase, *boxes, spans=None, **more):
    start = CAPTION.index(phrase)
    spans = spans or [[start, start + len(phrase)]]
    return dict(phrase=phrase, tokens_positive=spans, bbox=list(boxes), **more)


def write(folder, records, name='a.jsonl'):
    for number in range(2):
        pixels = np.full((40, 60, 3), 50 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), pixels)
    (folder / name).write_text(''.join(json.dumps(record) + '\n' for record in records))
    return folder / name


def grounding(*regions, caption=CAPTION, number=0):
    return dict(
        filename=f'{number}.png',
        height=40,
        width=60,
        grounding=dict(caption=caption, regions=list(regions)),
    )


def build(folder, records, **settings):
    path = write(folder, records)
    settings = dict(pipeline=[], test_mode=True) | settings
    return ODVGDataset(ann_file=str(path), data_prefix=dict(img=str(folder)), **settings)


def boxes_of(info):
    return [(one['bbox_label'], one['bbox']) for one in info['instances']]


def test_phrases_keep_their_places_and_their_boxes(tmp_path):
    star = [[17, 21]]
    data = build(
        tmp_path,
        [
            grounding(
                region('red star', [1, 2, 11, 12], types=['base']),
                region('star', [20, 2, 30, 12], [40, 2, 50, 12], spans=star, types=['novel']),
            )
        ],
    )
    info = data[0]
    assert info['text'] == CAPTION
    assert info['phrase_spans'] == [[[2, 10]], star]
    assert boxes_of(info) == [(0, [1, 2, 11, 12]), (1, [20, 2, 30, 12]), (1, [40, 2, 50, 12])]
    assert info['phrase_boxes'] == [[[1, 2, 11, 12]], [[20, 2, 30, 12], [40, 2, 50, 12]]]
    assert info['phrase_types'] == [['base'], ['novel']]
    assert info['img_path'] == str(tmp_path / '0.png')


def test_regions_with_one_place_are_one_phrase(tmp_path):
    one, two = region('red star', [1, 2, 11, 12]), region('red star', [20, 2, 30, 12])
    one['bbox'] = one['bbox'][0]  # a box instead of a list
    info = build(tmp_path, [grounding(one, two)])[0]
    assert info['phrase_spans'] == [[[2, 10]]]
    assert boxes_of(info) == [(0, [1, 2, 11, 12]), (0, [20, 2, 30, 12])]


def test_a_box_of_two_phrases_is_one_box_in_training(tmp_path):
    records = [
        grounding(
            region('red star', [1, 2, 11, 12]),
            region('star', [1, 2, 11, 12], [20, 2, 30, 12], spans=[[17, 21]]),
        )
    ]
    info = build(tmp_path, records, test_mode=False)[0]
    assert info['phrase_spans'] == [[[2, 10]], [[17, 21]], [[2, 10], [17, 21]]]
    assert boxes_of(info) == [(2, [1, 2, 11, 12]), (1, [20, 2, 30, 12])]
    assert len(build(tmp_path, records)[0]['instances']) == 3


def test_a_phrase_without_place_is_looked_up_and_one_without_boxes_stays(tmp_path):
    found = dict(phrase='Red star', bbox=[1, 2, 11, 12])
    missing = dict(phrase='blue moon', bbox=[[1, 2, 11, 12], [2, 2, 9, 9]])
    info = build(tmp_path, [grounding(found, missing, region('star', spans=[[17, 21]]))])[0]
    assert info['phrase_spans'] == [[[2, 10]], [[17, 21]]]
    assert info['phrase_boxes'] == [[[1, 2, 11, 12]], []]


def test_bad_boxes_are_dropped_and_told_and_others_clipped(tmp_path, caplog):
    MMLogger.get_instance('test_odvg').addHandler(caplog.handler)
    bad = [[70, 5, 80, 20], [5, 5, 5.5, 20], [9, 9, 3, 3], [float('nan'), 1, 9, 9]]
    info = build(tmp_path, [grounding(region('red star', *bad, [-5, 30, 20, 90]))])[0]
    assert boxes_of(info) == [(0, [0, 30, 20, 40])]
    assert '4 smaller than a pixel or outside the image' in caplog.text


def test_pseudo_labels_are_filtered_by_score_and_by_overlap(tmp_path):
    same = [[1, 2, 11, 12], [1, 2, 11, 13], [30, 2, 40, 12]]
    records = [
        grounding(region('red star', *same, scores=[0.6, 0.9, 0.4])),
        grounding(region('star', [1, 2, 9, 9], score=0.5), number=1),
    ]
    plain = build(tmp_path, records, min_score=0.5, test_mode=False)
    assert boxes_of(plain[0]) == [(0, [1, 2, 11, 12]), (0, [1, 2, 11, 13])]
    assert len(plain) == 2 and plain[1]['instances'] == []  # must exceed
    settings = dict(min_score=0.5, nms_iou=0.8, min_boxes=1, test_mode=False)
    filtered = build(tmp_path, records, **settings)
    assert len(filtered) == 1 and boxes_of(filtered[0]) == [(0, [1, 2, 11, 13])]
    with pytest.raises(ValueError, match='min_boxes=3 leaves no image'):
        build(tmp_path, records, min_boxes=3, test_mode=False, min_score=0.5)


def test_masks_go_with_their_boxes(tmp_path):
    square, other = [[1, 2, 11, 2, 11, 12, 1, 12]], [[20, 2, 30, 2, 30, 12, 20, 12]]
    records = [
        grounding(
            region('red star', [90, 2, 95, 12], [20, 2, 30, 12], segmentation=[square, other]),
            dict(region('star', spans=[[17, 21]]), bbox=[1, 2, 11, 12], segmentation=square),
        )
    ]
    results = build(tmp_path, records, pipeline=[*LOAD, MASKS])[0]
    assert results['gt_bboxes_labels'].tolist() == [0, 1]
    masks = [mask[0].tolist() for mask in results['gt_masks'].masks]
    assert masks == [other[0], square[0]]


def test_detection_records_hand_over_their_classes(tmp_path):
    instances = [dict(bbox=[1, 2, 11, 12], label=1, category='moon')]
    record = dict(filename='0.png', height=40, width=60, detection=dict(instances=instances))
    (tmp_path / 'labels.json').write_text(json.dumps({'0': 'star', '1': 'moon'}))
    labels = str(tmp_path / 'labels.json')
    data = build(tmp_path, [record], label_map_file=labels)
    assert data.metainfo['classes'] == data[0]['text'] == ('star', 'moon')
    assert boxes_of(data[0]) == [(1, [1, 2, 11, 12])]
    assert build(tmp_path, [record], metainfo=dict(classes=['a', 'b']))[0]['text'] == ('a', 'b')
    with pytest.raises(ValueError, match='label_map_file'):
        build(tmp_path, [record])
    with pytest.raises(ValueError, match='name all classes, it names 1'):
        build(tmp_path, [record], metainfo=dict(classes=['a']))
    with pytest.raises(ValueError, match='make two files'):
        build(tmp_path, [record, grounding()], label_map_file=labels)
    with pytest.raises(FileNotFoundError, match='label_map_file'):
        build(tmp_path, [record], label_map_file='nowhere.json')
    (tmp_path / 'labels.json').write_text(json.dumps({'1': 'star', '2': 'moon'}))
    with pytest.raises(ValueError, match='not 0 to 1'):
        build(tmp_path, [record], label_map_file=labels)


def test_draws_captions_of_other_samples(tmp_path):
    data = build(tmp_path, [grounding(caption='one'), grounding(caption='two')])
    drawn = data[0]['caption_pool'].draw(40, np.random.RandomState(0))
    assert 0 < len(drawn) < 40 and {one.text for one in drawn} == {'two'}  # its own is no negative


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='make_mini_world'):
        ODVGDataset(ann_file=str(tmp_path / 'none.jsonl'), pipeline=[])
    with pytest.raises(ValueError, match='holds no record'):
        build(tmp_path, [])
    with pytest.raises(ValueError, match='line 1: expected an object, got a list'):
        build(tmp_path, [[1]])
    with pytest.raises(ValueError, match='record 1 .*filename'):
        build(tmp_path, [dict(height=1, width=1)])
    with pytest.raises(ValueError, match='record 2 .*caption'):
        build(tmp_path, [grounding(), dict(grounding(), grounding={})])
    path = write(tmp_path, [grounding()])
    path.write_text(path.read_text() + '{"filename": ')
    with pytest.raises(ValueError, match='line 2: is no json or is cut off'):
        ODVGDataset(ann_file=str(path), pipeline=[])


def detection(**row):
    instance = dict(bbox=[1, 2, 11, 12], label=0) | row
    return dict(filename='0.png', height=40, width=60, detection=dict(instances=[instance]))


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (detection(label=0.9), 'label is 0.9, not a whole number'),
        (detection(label='0'), "label is '0', not a whole number"),
        (detection(label=True), 'label is True'),
        (detection(bbox=['abcd', 1, 2, 3]), 'is not four numbers'),
        (detection(bbox='1234'), 'is not four numbers'),
        (detection(bbox=[1, 2, 3]), 'is not four numbers'),
        (detection(bbox=[1, 2, 3, 4, 5, 6, 7, 8]), 'is not four numbers'),
        (detection(bbox=None), 'detection.instances[0].bbox: expected a list, got null'),
        (detection(bbox=[10**400, 0, 1, 1]), 'OverflowError'),
        (detection(score='high'), 'are not numbers'),
        (detection() | dict(height='tall'), "height and width is ['tall', 60], not 2 numbers"),
        (detection() | dict(width=float('nan')), 'height and width is [40, nan], not finite'),
        (detection() | dict(filename=3), 'filename: expected a text, got a whole number'),
        (detection() | dict(detection=[]), 'detection: expected an object, got a list'),
        (grounding(caption=5), 'the caption is 5, not a text'),
        (
            grounding(dict(region('star'), bbox=5)),
            'grounding.regions[0].bbox: expected a list, got a whole number',
        ),
        (grounding(region('star', [1, 2, 9, 9], spans=[[17, 21.5]])), 'tokens_positive is 21.5'),
        (grounding(region('star', [1, 2, 9, 9], spans=[[17]])), 'not enough values'),
        (grounding(region('star', [1, 2, 9, 9], scores=[1, 1])), '1 boxes, 2 scores'),
        (grounding('star'), 'grounding.regions[0]: expected an object, got a text'),
    ],
)
def test_a_bad_record_is_named(tmp_path, record, message):
    good = detection() if 'detection' in record else grounding()
    settings = dict(metainfo=dict(classes=['a'])) if 'detection' in record else {}
    with pytest.raises(ValueError, match=r'record 2 of .*a\.jsonl: ') as info:
        build(tmp_path, [good, record], **settings)
    assert message in str(info.value)


def test_infinite_boxes_are_dropped(tmp_path):
    bad = [[0, 0, float('inf'), float('inf')], [float('-inf'), 0, 9, 9]]
    assert boxes_of(build(tmp_path, [grounding(region('star', *bad))])[0]) == []


@pytest.mark.parametrize('line', [b'[' * 100000, b'\xff\n', b'null'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = write(tmp_path, [grounding()])
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ValueError, match=r'a\.jsonl, line 2: '):
        ODVGDataset(ann_file=str(path), pipeline=[])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"0": "cat", "1": "cat"}', "more than once: 'cat'"),
        ('{"0": "cat", "0": "dog"}', "the key '0' comes more than once"),
        ('{"0": 5}', 'names are strings'),
        ('{"0": "cat", "\u00b2": "dog"}', 'not 0 to 1'),
        ('["cat"]', 'expected an object, got a list'),
        ('[' * 100000, 'nested too deeply'),
    ],
)
def test_a_bad_label_map_is_named(tmp_path, text, message):
    (tmp_path / 'labels.json').write_text(text)
    with pytest.raises(ValueError, match=rf'labels\.json.*{message}'):
        build(tmp_path, [detection()], label_map_file=str(tmp_path / 'labels.json'))


def test_a_missing_image_stops_testing_and_can_be_skipped_in_training(tmp_path):
    records = [grounding(region('red star', [1, 2, 11, 12]), number=n) for n in (0, 7)]
    with pytest.raises(FileNotFoundError, match='7.png'):
        build(tmp_path, records, pipeline=LOAD, test_mode=True)[1]
    data = build(tmp_path, records, pipeline=LOAD, test_mode=False, skip_bad_images=True)
    assert data[1]['img_path'].endswith('0.png')
    assert list(data.bad_images) == [str(tmp_path / '7.png')]
