"""Several datasets in one test: who gets which sample, means and medians."""

import json

import pytest
import torch
from mmengine.registry import EVALUATOR

CORNERS = [0, 0, 10, 10], [20, 20, 30, 30]


def annotations(path, categories, box_class):
    """One image of 40 pixels with one box."""
    content = dict(
        images=[dict(id=1, width=40, height=40, file_name='a.png')],
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, 5)],
        annotations=[]
        if box_class is None
        else [
            dict(
                id=1,
                image_id=1,
                category_id=5 + box_class,
                bbox=[0, 0, 10, 10],
                area=100,
                iscrowd=0,
            )
        ],
    )
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return str(path)


def build(root, folders):
    metrics = [
        dict(type='mmclip.OpenVocabLVISMetric', ann_file=str(root / folder / 'ann.json'))
        for folder in folders
    ]
    names = [folder.replace('/', '_') for folder in folders]
    return EVALUATOR.build(
        dict(
            type='mmclip.MultiDatasetEvaluator',
            metrics=metrics,
            names=names,
            folders=[str(root / folder) for folder in folders],
        )
    )


def sample(path, box, label):
    instances = dict(
        bboxes=torch.tensor([box], dtype=torch.float32),
        scores=torch.tensor([0.9]),
        labels=torch.tensor([label]),
    )
    return dict(img_id=1, img_path=str(path), pred_instances=instances)


def test_each_metric_sees_its_own_images(tmp_path):
    folders = ('a', 'a/inner', 'b', 'empty')
    annotations(tmp_path / 'a' / 'ann.json', ['cat', 'dog'], 1)
    annotations(tmp_path / 'a/inner' / 'ann.json', ['star'], 0)
    annotations(tmp_path / 'b' / 'ann.json', ['hand', 'foot', 'nose'], 2)
    annotations(tmp_path / 'empty' / 'ann.json', ['none'], None)
    evaluator = build(tmp_path, folders)
    evaluator.dataset_meta = [dict(classes=('wrong',))] * 4
    right, wrong = CORNERS
    evaluator.process([sample(tmp_path / 'a' / 'x.png', right, 1)])
    evaluator.process(
        [sample(tmp_path / 'a/inner' / 'a.png', wrong, 0), sample(tmp_path / 'b/v/a.png', right, 2)]
    )
    evaluator.process([sample(tmp_path / 'empty/a.png', right, 0)])
    found = evaluator.evaluate(4)
    assert found['a/bbox_AP'] == pytest.approx(1) and found['a_inner/bbox_AP'] == 0
    assert found['b/bbox_AP'] == pytest.approx(1) and found['empty/bbox_AP'] == -1
    assert found['mean/bbox_AP'] == pytest.approx(2 / 3)
    assert found['median/bbox_AP'] == pytest.approx(1)


def test_bad_input(tmp_path):
    annotations(tmp_path / 'a' / 'ann.json', ['cat'], 0)
    annotations(tmp_path / 'ab' / 'ann.json', ['cat'], 0)
    evaluator = build(tmp_path, ('a',))
    with pytest.raises(ValueError, match='lies in none'):
        evaluator.process([sample(tmp_path / 'ab' / 'x.png', CORNERS[0], 0)])
    with pytest.raises(ValueError, match='names'):
        build(tmp_path, ('a', 'a'))
