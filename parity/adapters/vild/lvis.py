"""LVIS's own evaluation against ours, for ViLD's cases."""

import csv
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from mmclip.evaluation import OpenVocabLVISMetric
from parity.case import Case, Comparison


def samples(truth: dict, detections: list[dict]) -> list[dict]:
    """What a model would hand to a metric: one sample per image, boxes xyxy, labels by id order."""
    label_of = {cat: i for i, cat in enumerate(sorted(c['id'] for c in truth['categories']))}
    of_image = defaultdict(list)
    for detection in detections:
        of_image[detection['image_id']].append(detection)
    found = []
    for image in truth['images']:
        rows = of_image[image['id']]
        boxes = np.array([row.get('bbox', (0, 0, 0, 0)) for row in rows]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = dict(
            bboxes=boxes,
            scores=np.array([row['score'] for row in rows]),
            labels=np.array([label_of[row['category_id']] for row in rows], dtype=np.int64),
        )
        if rows and 'segmentation' in rows[0]:
            instances['masks'] = [row['segmentation'] for row in rows]
        found.append(dict(img_id=image['id'], pred_instances=instances))
    return found


def lvis_eval(case: Case) -> list[Comparison]:
    """All 13 numbers and each class's AP, through the metric that `tools/test.py` runs."""
    truth, expected = case.json('_gt.json'), case.json('_expected.json')
    comparisons = []
    for iou_type in expected['config']['iou_types']:
        with tempfile.TemporaryDirectory() as folder:
            metric = OpenVocabLVISMetric(
                ann_file=str(case.path('_gt.json')),
                metric=iou_type,
                max_dets=expected['config']['max_dets'],
                outfile_prefix=f'{folder}/results',
            )
            metric.process(None, samples(truth, case.json(f'_dt_{iou_type}.json')))
            found = metric.evaluate(len(truth['images']))
            with open(Path(folder) / f'results.{iou_type}.csv', newline='') as file:
                per_category = {row['id']: float(row['AP']) for row in csv.DictReader(file)}
        reference = dict(expected['expected'][iou_type])
        comparisons.append(
            Comparison(f'{iou_type} per class', per_category, reference.pop('per_category_AP'))
        )
        comparisons += [
            Comparison(f'{iou_type} {name}', found[f'lvis/{iou_type}_{name}'], value)
            for name, value in reference.items()
        ]
    return comparisons


ADAPTERS = {'lvis_eval*': lvis_eval}
