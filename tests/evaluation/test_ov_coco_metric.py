"""OV-COCO: the variants of the protocol on a small file, counted by hand."""

import json

import numpy as np
import pytest
import torch

from mmclip.evaluation.ov_coco_metric import OVCocoMetric, variant_of
from mmclip.text.class_names import class_names, novel_names

NAMES = {65: class_names('ov_coco'), 80: class_names('coco80')}
NOVEL = sorted(novel_names('ov_coco'))
BASE = [name for name in NAMES[65] if name not in NOVEL]
UNUSED = [name for name in NAMES[80] if name not in NAMES[65]]


@pytest.fixture
def ann_file(tmp_path):
    """Two images; one box of each class of 'person' (base) and 'cat', 'dog' (novel)."""
    ids = {name: 10 + index for index, name in enumerate(NAMES[80])}
    boxes = [(1, 'person', 0), (1, 'cat', 40), (2, 'dog', 80), (2, UNUSED[0], 120)]
    content = dict(
        images=[dict(id=i, height=200, width=200, file_name=f'{i}.jpg') for i in (1, 2)],
        categories=[dict(id=i, name=name) for name, i in ids.items()],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=ids[name],
                bbox=[x, 0, 30, 30],
                area=900,
                iscrowd=0,
            )
            for number, (image, name, x) in enumerate(boxes, 1)
        ],
    )
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(content))
    return str(path)


def sample(image: int, names: tuple, *found: tuple[str, int, float]) -> dict:
    boxes = torch.tensor([[x, 0.0, x + 30, 30] for _, x, _ in found]).reshape(-1, 4)
    return dict(
        img_id=image,
        pred_instances=dict(
            bboxes=boxes,
            scores=torch.tensor([score for *_, score in found]),
            labels=torch.tensor([names.index(name) for name, *_ in found], dtype=torch.long),
        ),
    )


def run(ann_file, variant, max_dets=100):
    names = NAMES[variant]
    metric = OVCocoMetric(ann_file=ann_file, max_dets=max_dets)
    metric.dataset_meta = dict(classes=names)
    other = (UNUSED[0],) if variant == 80 else ()
    crowd = [(name, 160, 0.95) for name in other]
    first = sample(1, names, ('person', 0, 0.9), ('cat', 160, 0.8), ('cat', 40, 0.7), *crowd)
    metric.process(None, [first])
    metric.process(None, [sample(2, names, ('person', 80, 0.99))])
    return metric.evaluate(2)


@pytest.mark.parametrize('variant', [65, 80])
def test_by_hand(ann_file, variant):
    """person: a false positive before the hit, 1/2; cat the same, 1/2; dog is missed, 0."""
    found = run(ann_file, variant)
    # 101-point AP with precision 1/2 up to recall 1.
    expected = dict(novel=0.25, base=0.5, all=(0.5 + 0.5 + 0) / 3)
    for part, value in expected.items():
        assert found[f'ov_coco_{variant}/bbox_AP50_{part}'] == pytest.approx(value, abs=1e-6)
    assert len(found) == 6


def test_unused_classes_take_places_but_are_not_scored(ann_file):
    """With three places an image, the unused class of the 80 pushes the hit of 'cat' out."""
    assert run(ann_file, 65, max_dets=3)['ov_coco_65/bbox_AP50_novel'] == pytest.approx(0.25)
    assert run(ann_file, 80, max_dets=3)['ov_coco_80/bbox_AP50_novel'] == pytest.approx(0)


def test_variants_are_told_by_their_names(ann_file):
    assert [variant_of(n) for n in (NAMES[65], NAMES[80], BASE, NOVEL)] == [65, 80, 48, 17]
    with pytest.raises(ValueError, match='2 classes .* not of COCO: .*unicorn'):
        variant_of(['person', 'unicorn'])
    with pytest.raises(ValueError, match='80 is asked for, but the dataset has 65'):
        metric = OVCocoMetric(ann_file=ann_file, variant=80)
        metric.dataset_meta = dict(classes=NAMES[65])
    with pytest.raises(ValueError, match='variant: 12'):
        OVCocoMetric(ann_file=ann_file, variant=12)


def test_no_detections(ann_file):
    metric = OVCocoMetric(ann_file=ann_file)
    metric.dataset_meta = dict(classes=NAMES[65])
    metric.process(None, [sample(1, NAMES[65]), sample(2, NAMES[65])])
    assert metric.evaluate(2)['ov_coco_65/bbox_AP50_novel'] == 0
    assert np.isfinite(list(metric.evaluate(2).values())).all()


def test_a_prefix_of_ones_own(ann_file):
    metric = OVCocoMetric(ann_file=ann_file, prefix='mine')
    metric.dataset_meta = dict(classes=NAMES[65])
    metric.process(None, [sample(1, NAMES[65]), sample(2, NAMES[65])])
    assert {name.split('/')[0] for name in metric.evaluate(2)} == {'mine_65'}
