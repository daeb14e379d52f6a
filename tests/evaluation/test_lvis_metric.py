"""LVIS AP: the official evaluation's numbers, closed forms, several processes, bad input."""

import csv
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmclip.evaluation import OpenVocabLVISMetric, lvis_metric, result_shards
from parity.adapters.vild.lvis import samples

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = ROOT / 'parity' / 'fixtures' / 'vild'  # by lvis-api 0.5.3

# Boxes of 100 x 100 in the corners and the middle of an image, far from each other.
CORNERS = [(0, 0, 100, 100), (400, 0, 500, 100), (0, 400, 100, 500), (400, 400, 500, 500)]


def truth_file(path, boxes, *, categories=None, negatives=(), federated=True):
    """Annotation file from (image, category, box) triples; images are 1, 2, ... up to the last."""
    categories = categories or [
        dict(id=i, name=name, frequency=frequency)
        for i, name, frequency in ((7, 'cat', 'f'), (2, 'dog', 'r'), (11, 'pig', 'c'))
    ]
    count = max([image for image, *_ in boxes] + [image for image, _ in negatives] + [1])
    images = [dict(id=i, width=600, height=600, file_name=f'{i}.png') for i in range(1, count + 1)]
    for image in images if federated else ():
        image['neg_category_ids'] = [c for i, c in negatives if i == image['id']]
        image['not_exhaustive_category_ids'] = []
    annotations = [
        dict(
            id=index,  # starts at 0, which faster-coco-eval takes for 'not matched'
            image_id=image,
            category_id=category,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            area=(x2 - x1) * (y2 - y1),
            segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]],
            iscrowd=0,
        )
        for index, (image, category, (x1, y1, x2, y2)) in enumerate(boxes)
    ]
    path.write_text(json.dumps(dict(images=images, categories=categories, annotations=annotations)))
    return str(path)


def prediction(image, rows, masks=False):
    """A host's data sample from (label, score, box) triples."""
    sample = DetDataSample(metainfo=dict(img_id=image, ori_shape=(600, 600)))
    instances = InstanceData(
        bboxes=torch.tensor([row[2] for row in rows], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([row[1] for row in rows], dtype=torch.float32),
        labels=torch.tensor([row[0] for row in rows], dtype=torch.int64),
    )
    if masks:
        instances.masks = torch.zeros(len(rows), 600, 600, dtype=torch.bool)
        for mask, (_, _, (x1, y1, x2, y2)) in zip(instances.masks, rows, strict=True):
            mask[y1:y2, x1:x2] = True
    sample.pred_instances = instances
    return sample


def evaluate(ann_file, predictions, *, meta=None, **kwargs):
    metric = OpenVocabLVISMetric(ann_file=ann_file, **kwargs)
    evaluator = Evaluator([metric])
    if meta:
        evaluator.dataset_meta = meta
    for sample in predictions:
        evaluator.process([sample])
    return evaluator.evaluate(len(predictions))


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('chunk', [1, 3, 64])
def test_official_numbers(iou_type, chunk, monkeypatch):
    monkeypatch.setattr('mmclip.evaluation.lvis_eval.CATEGORIES_PER_CHUNK', chunk)
    truth = json.loads((OFFICIAL / 'lvis_eval_gt.json').read_text())
    detections = json.loads((OFFICIAL / f'lvis_eval_dt_{iou_type}.json').read_text())
    expected = json.loads((OFFICIAL / 'lvis_eval_expected.json').read_text())['expected'][iou_type]
    found = evaluate(
        str(OFFICIAL / 'lvis_eval_gt.json'), samples(truth, detections), metric=[iou_type]
    )
    expected.pop('per_category_AP')
    for name, value in expected.items():
        assert found[f'lvis/{iou_type}_{name}'] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize(
    ('variant', 'kwargs'),
    [('no_limit', dict(max_dets=100_000)), ('no_nel', {}), ('no_fed', {})],
)
def test_wrong_protocols_are_told_apart(tmp_path, variant, kwargs):
    truth = json.loads((OFFICIAL / 'lvis_eval_gt.json').read_text())
    detections = json.loads((OFFICIAL / 'lvis_eval_dt_bbox.json').read_text())
    expected = json.loads((OFFICIAL / 'lvis_eval_expected.json').read_text())
    if variant == 'no_nel':
        for image in truth['images']:
            image['not_exhaustive_category_ids'] = []
    if variant == 'no_fed':
        for image in truth['images']:
            image['neg_category_ids'] = [c['id'] for c in truth['categories']]
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    found = evaluate(str(tmp_path / 'gt.json'), samples(truth, detections), **kwargs)
    for name, value in expected['wrong_variants_bbox'][variant].items():
        assert found[f'lvis/bbox_{name}'] == pytest.approx(value, abs=1e-6), name
    assert found['lvis/bbox_AP'] != pytest.approx(expected['expected']['bbox']['AP'], abs=1e-4)


def test_splits_ids_with_gaps_and_masks(tmp_path):
    """cat (f): both found. dog (r): half found. pig (c): found at IoU 0.8 only."""
    ann_file = truth_file(
        tmp_path / 'gt.json',
        [(1, 7, CORNERS[0]), (2, 7, CORNERS[1])]
        + [(1, 2, CORNERS[1]), (2, 2, CORNERS[2])]
        + [(1, 11, CORNERS[3])],
    )
    # Labels follow the ids: dog 0, cat 1, pig 2.
    predictions = [
        prediction(
            1, [(1, 0.9, CORNERS[0]), (0, 0.8, CORNERS[1]), (2, 0.7, (400, 400, 480, 500))], 1
        ),
        prediction(2, [(1, 0.9, CORNERS[1])], masks=True),
    ]
    found = evaluate(ann_file, predictions, metric=['bbox', 'segm'])
    half = 51 / 101  # recalls 0, 0.01, ... 0.5 have precision 1
    for kind in ('bbox', 'segm'):
        assert found[f'lvis/{kind}_APf'] == pytest.approx(1)
        assert found[f'lvis/{kind}_APr'] == pytest.approx(half)
        assert found[f'lvis/{kind}_APc'] == pytest.approx(0.7)  # IoU 0.5, 0.55, ... 0.8 of ten
        assert found[f'lvis/{kind}_AP50'] == pytest.approx((2 + half) / 3)
        assert found[f'lvis/{kind}_AP50_base'] == pytest.approx(1)
        assert found[f'lvis/{kind}_AP_base'] == pytest.approx(0.85)
        assert found[f'lvis/{kind}_AP_novel'] == pytest.approx(half)
        assert found[f'lvis/{kind}_APs'] == -1


def test_novel_by_argument_by_data_set_and_by_split_field(tmp_path):
    boxes = [(1, 7, CORNERS[0]), (1, 2, CORNERS[1]), (1, 11, CORNERS[2])]
    ann_file = truth_file(tmp_path / 'gt.json', boxes)
    predictions = [prediction(1, [(1, 0.9, CORNERS[0])])]  # only the cat is found
    by_argument = evaluate(ann_file, predictions, novel=['cat'])
    assert by_argument['lvis/bbox_AP50_novel'] == pytest.approx(1)
    assert by_argument['lvis/bbox_AP50_base'] == 0
    meta = dict(classes=('dog', 'cat', 'pig'), splits=('base', 'novel', 'base'))
    assert evaluate(ann_file, predictions, meta=meta) == by_argument
    categories = [
        dict(id=7, name='cat', split='unseen'),
        dict(id=2, name='dog', split='base'),
        dict(id=11, name='pig', split='novel'),
    ]
    ann_file = truth_file(tmp_path / 'split.json', boxes, categories=categories)
    by_field = evaluate(ann_file, predictions)
    assert by_field['lvis/bbox_AP50_unseen'] == pytest.approx(1)
    assert by_field['lvis/bbox_AP50_novel'] == by_field['lvis/bbox_AP50_base'] == 0
    assert 'lvis/bbox_APr' not in by_field


def test_classes_of_the_data_set_give_the_labels_their_meaning(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0]), (1, 2, CORNERS[1])])
    predictions = [prediction(1, [(0, 0.9, CORNERS[0])])]
    found = evaluate(ann_file, predictions, meta=dict(classes=('cat',)))
    assert found['lvis/bbox_AP'] == pytest.approx(1)
    with pytest.raises(ValueError, match="'cow' is not a category of .*gt.json"):
        evaluate(ann_file, predictions, meta=dict(classes=('cow',)))


def test_coco_files_judge_every_class_in_every_image(tmp_path):
    categories = [dict(id=7, name='cat'), dict(id=2, name='dog')]
    boxes = [(1, 7, CORNERS[0]), (2, 2, CORNERS[0])]
    # A false cat in image 2, better than the true one in image 1.
    predictions = [
        prediction(1, [(1, 0.5, CORNERS[0])]),
        prediction(2, [(1, 0.9, CORNERS[1]), (0, 0.5, CORNERS[0])]),
    ]
    coco = truth_file(tmp_path / 'coco.json', boxes, categories=categories, federated=False)
    lvis = truth_file(tmp_path / 'lvis.json', boxes, categories=categories)
    assert evaluate(coco, predictions)['lvis/bbox_AP50'] == pytest.approx(0.75)
    assert evaluate(lvis, predictions)['lvis/bbox_AP50'] == pytest.approx(1)
    assert evaluate(lvis, predictions, federated=False)['lvis/bbox_AP50'] == pytest.approx(0.75)
    judged = truth_file(tmp_path / 'neg.json', boxes, categories=categories, negatives=[(2, 7)])
    assert evaluate(judged, predictions)['lvis/bbox_AP50'] == pytest.approx(0.75)


def test_the_limit_counts_all_classes_before_any_is_dropped(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    unjudged = [(2, 0.9, CORNERS[1])] * 3
    predictions = [prediction(1, [*unjudged, (1, 0.5, CORNERS[0])])]
    assert evaluate(ann_file, predictions, max_dets=3)['lvis/bbox_AP'] == 0
    assert evaluate(ann_file, predictions, max_dets=4)['lvis/bbox_AP'] == pytest.approx(1)


def test_fixed_ap_has_no_limit_per_image_but_one_per_class(tmp_path):
    boxes = [(image, 7, CORNERS[0]) for image in (1, 2, 3)]
    ann_file = truth_file(tmp_path / 'gt.json', boxes)
    crowded = [(0, 0.9, CORNERS[1])] * 5
    predictions = [prediction(i, [*crowded, (1, 0.1 * i, CORNERS[0])]) for i in (1, 2, 3)]
    found = evaluate(ann_file, predictions, max_dets=5, fixed_ap=True)
    assert found['lvis/bbox_AP'] == 0
    assert found['lvis/bbox_fixed_AP'] == pytest.approx(1)
    assert found['lvis/bbox_fixed_APf'] == pytest.approx(1)
    assert 'lvis/bbox_fixed_AR@5' not in found and found['lvis/bbox_fixed_AR'] == pytest.approx(1)
    limit = dict(fixed_ap_limit=2)  # the best two of the three cats
    found = evaluate(ann_file, predictions, max_dets=5, fixed_ap=True, **limit)
    assert found['lvis/bbox_fixed_AP'] == pytest.approx(67 / 101)


def test_no_detections_give_zeros(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0]), (2, 2, CORNERS[0])])
    empty = [prediction(1, [], masks=True), prediction(2, [], masks=True)]
    found = evaluate(ann_file, empty, metric=['bbox', 'segm'], fixed_ap=True)
    for name in ('bbox_AP', 'segm_AP50', 'bbox_APr', 'bbox_AP50_novel', 'segm_fixed_AP'):
        assert found[f'lvis/{name}'] == 0, name
    assert found['lvis/bbox_APc'] == -1  # nothing to be found
    assert evaluate(ann_file, [])['lvis/bbox_AP'] == 0


@pytest.fixture
def warned(caplog):
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance('test_lvis_metric')
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_nan_scores_and_boxes_are_left_out_and_counted(tmp_path, warned):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    bad = [
        (1, float('nan'), CORNERS[0]),
        (1, 0.9, (0, 0, float('nan'), 1)),
        (1, float('inf'), CORNERS[1]),
    ]
    found = evaluate(ann_file, [prediction(1, [*bad, (1, 0.1, CORNERS[0])])], max_dets=1)
    assert found['lvis/bbox_AP'] == pytest.approx(1)
    assert [line for line in warned() if '3 detections with a NaN' in line]


def test_images_without_predictions_are_said(tmp_path, warned):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0]), (3, 7, CORNERS[0])])
    found = evaluate(ann_file, [prediction(1, [(1, 0.9, CORNERS[0])])])
    assert found['lvis/bbox_AP'] == pytest.approx(51 / 101)
    assert [line for line in warned() if '1 of the 3 images' in line]


def test_an_image_that_comes_twice_counts_once(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    once = prediction(1, [(1, 0.9, CORNERS[0])])
    assert evaluate(ann_file, [once, once, once])['lvis/bbox_AP'] == pytest.approx(1)


def test_a_metric_is_used_again_and_forgets(tmp_path, monkeypatch):
    monkeypatch.setattr('mmclip.evaluation.result_shards.IMAGES_PER_FILE', 1)
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0]), (2, 7, CORNERS[0])])
    metric = OpenVocabLVISMetric(ann_file=ann_file, collect_dir=str(tmp_path / 'shards'))
    evaluator = Evaluator([metric])
    good = [prediction(i, [(1, 0.9, CORNERS[0])]) for i in (1, 2)]
    for predictions, expected in ((good, 1), ([prediction(i, []) for i in (1, 2)], 0), (good, 1)):
        evaluator.process(predictions)
        assert len(list((tmp_path / 'shards').rglob('*.safetensors'))) == 2
        assert evaluator.evaluate(2)['lvis/bbox_AP'] == pytest.approx(expected)
        assert not list((tmp_path / 'shards').iterdir())


@pytest.mark.parametrize(
    ('predictions', 'message'),
    [
        ([prediction(9, [])], 'image 9 are not of .*gt.json'),
        ([prediction(1, [(3, 0.5, CORNERS[0])])], 'label 3, but there are 3 classes'),
    ],
)
def test_predictions_of_something_else_are_errors_that_leave_no_file(
    tmp_path, predictions, message
):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    shards = tmp_path / 'shards'
    with pytest.raises(ValueError, match=message):
        evaluate(ann_file, predictions, collect_dir=str(shards))
    assert not list(shards.iterdir())


def test_bad_arguments(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    with pytest.raises(FileNotFoundError, match='docs/en/datasets.md'):
        OpenVocabLVISMetric(ann_file=str(tmp_path / 'none.json'))
    for metric in ('box', [], ['bbox', 'mask']):
        with pytest.raises(ValueError, match="'bbox', 'segm' or a list"):
            OpenVocabLVISMetric(ann_file=ann_file, metric=metric)
    with pytest.raises(ValueError, match='outfile_prefix'):
        OpenVocabLVISMetric(ann_file=ann_file, format_only=True)
    with pytest.raises(ValueError, match='max_dets=0'):
        OpenVocabLVISMetric(ann_file=ann_file, max_dets=0)
    with pytest.raises(ValueError, match='needs masks'):
        evaluate(ann_file, [prediction(1, [(1, 0.5, CORNERS[0])])], metric='segm')


def test_result_files(tmp_path):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0]), (2, 2, CORNERS[1])])
    rows = [(1, 0.5, CORNERS[0]), (2, 0.25, CORNERS[1])]
    predictions = [prediction(1, rows, masks=True), prediction(2, [], masks=True)]
    prefix = tmp_path / 'out' / 'results'
    arguments = dict(metric=['bbox', 'segm'], outfile_prefix=str(prefix))
    assert evaluate(ann_file, predictions, format_only=True, **arguments) == {}
    boxes = json.loads(Path(f'{prefix}.bbox.json').read_text())
    assert boxes[0] == dict(image_id=1, category_id=7, score=0.5, bbox=[0, 0, 100, 100])
    assert [row['category_id'] for row in boxes] == [7, 11]
    masks = json.loads(Path(f'{prefix}.segm.json').read_text())
    assert masks[0]['segmentation']['size'] == [600, 600] and 'bbox' not in masks[0]
    assert sorted(p.name for p in prefix.parent.iterdir()) == [
        'results.bbox.json',
        'results.segm.json',
    ]
    evaluate(ann_file, predictions, **arguments)
    with open(f'{prefix}.segm.csv', newline='') as file:
        table = {row['name']: row for row in csv.DictReader(file)}
    assert float(table['cat']['AP']) == pytest.approx(1) and table['dog']['split'] == 'novel'
    assert float(table['dog']['AP50']) == 0 and float(table['pig']['AP']) == -1


def test_a_crash_while_writing_leaves_no_result_file(tmp_path, monkeypatch):
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])

    def broken(*args):
        raise MemoryError('no more')

    monkeypatch.setattr(lvis_metric, 'records_of', broken)
    with pytest.raises(MemoryError):
        evaluate(
            ann_file,
            [prediction(1, [(1, 0.5, CORNERS[0])])],
            outfile_prefix=str(tmp_path / 'out/results'),
            collect_dir=str(tmp_path / 'shards'),
        )
    assert not list((tmp_path / 'out').iterdir())
    assert not list((tmp_path / 'shards').iterdir())


def _rank(rank, world, folder, ann_file, predictions):
    """One process of two; the last image comes twice, as a sampler pads it."""
    os.chdir(folder)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world
    )
    # Results may not travel between processes.
    torch.distributed.all_gather = torch.distributed.all_gather_object = None
    torch.distributed.gather_object = torch.distributed.gather = None
    mine = predictions[rank::world]
    if len(mine) < len(predictions[::world]):
        mine = mine + predictions[:1]
    try:
        outcome = evaluate(ann_file, mine, metric=['bbox', 'segm'])
    except Exception as error:
        outcome = f'{type(error).__name__}: {error}'
    Path(folder, f'outcome_{rank}.json').write_text(json.dumps(outcome))
    torch.distributed.destroy_process_group()


def _random_predictions():
    rng = np.random.default_rng(0)
    boxes, predictions = [], []
    for image in range(1, 6):
        rows = []
        for category, label in ((7, 1), (2, 0), (11, 2)):
            x, y = rng.integers(0, 400, 2).tolist()
            boxes.append((image, category, (x, y, x + 100, y + 80)))
            for _ in range(3):
                dx, dy = rng.integers(-20, 20, 2).tolist()
                box = (max(x + dx, 0), max(y + dy, 0), x + dx + 100, y + dy + 80)
                rows.append((label, float(rng.random()), box))
        predictions.append(prediction(image, rows, masks=True))
    return boxes, predictions


def _two_processes(tmp_path, ann_file, predictions):
    arguments = (2, str(tmp_path), ann_file, predictions)
    # Forked: a test module has no name by which a spawned process could import it.
    torch.multiprocessing.start_processes(_rank, arguments, nprocs=2, start_method='fork')
    return [json.loads((tmp_path / f'outcome_{rank}.json').read_text()) for rank in (0, 1)]


def test_two_processes_give_what_one_gives(tmp_path):
    boxes, predictions = _random_predictions()
    ann_file = truth_file(tmp_path / 'gt.json', boxes)
    alone = evaluate(ann_file, predictions, metric=['bbox', 'segm'])
    assert 0.05 < alone['lvis/bbox_AP'] < 0.95
    assert _two_processes(tmp_path, ann_file, predictions) == [alone, alone]
    assert not (tmp_path / '.dist_test').exists()


def test_results_that_do_not_arrive_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(result_shards, 'SECONDS_TO_ARRIVE', 0)
    monkeypatch.setattr(result_shards, 'get_world_size', lambda: 2)
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])
    with pytest.raises(RuntimeError, match='results of process 1 did not arrive .*collect_dir'):
        evaluate(ann_file, [prediction(1, [])], collect_dir=str(tmp_path / 'shards'))


def test_a_failure_on_the_first_process_reaches_the_other(tmp_path):
    _, predictions = _random_predictions()
    ann_file = truth_file(tmp_path / 'gt.json', [(1, 7, CORNERS[0])])  # knows image 1 only
    first, second = _two_processes(tmp_path, ann_file, predictions)
    assert first.startswith('ValueError: the detections of image 3 are not of')
    assert second.startswith('RuntimeError: the evaluation failed on the first process: ValueError')
    assert not (tmp_path / '.dist_test').exists()


def test_the_truth_of_mini_world_scores_one_hundred(mini_world_detection):
    from mmclip.datasets import OpenVocabLVISDataset

    root = mini_world_detection / 'detection'
    dataset = OpenVocabLVISDataset(
        data_root=str(root), ann_file='annotations/lvis_test.json', data_prefix=dict(img='')
    )
    predictions = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        rows = [(i['bbox_label'], 0.5, i['bbox']) for i in info['instances']]
        predictions.append(prediction(info['img_id'], rows))
    ann_file = str(root / 'annotations/lvis_test.json')
    found = evaluate(ann_file, predictions, meta=dataset.metainfo)
    for split in ('base', 'novel', 'unseen'):
        assert found[f'lvis/bbox_AP_{split}'] == pytest.approx(1)
    # One name further: nothing is right any more.
    for sample in predictions:
        sample.pred_instances.labels = (sample.pred_instances.labels + 1) % 384
    found = evaluate(ann_file, predictions, meta=dataset.metainfo)
    assert found['lvis/bbox_AP50_base'] < 0.2
