"""The converters of OV-COCO and OV-LVIS on small files."""

import importlib.util
import json
from pathlib import Path

import pytest

from mmclip.datasets.ov_split import split_of_names
from mmclip.text.class_names import class_names, novel_names

FOLDER = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters'


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def annotations(categories: list[dict]) -> dict:
    """One image and one box of each category; the image of category k is k."""
    return dict(
        images=[dict(id=row['id'], height=9, width=9, file_name='a.jpg') for row in categories],
        categories=categories,
        annotations=[
            dict(id=row['id'], image_id=row['id'], category_id=row['id'], bbox=[0, 0, 5, 5])
            for row in categories
        ],
    )


@pytest.fixture
def coco(tmp_path):
    rows = [dict(id=2 * i + 1, name=name) for i, name in enumerate(class_names('coco80'))]
    (tmp_path / 'annotations').mkdir()
    for part in ('train', 'val'):
        path = tmp_path / 'annotations' / f'instances_{part}2017.json'
        path.write_text(json.dumps(annotations(rows)))
    return tmp_path


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def names_of_boxes(content: dict) -> set[str]:
    names = {row['id']: row['name'] for row in content['categories']}
    return {names[row['category_id']] for row in content['annotations']}


def test_ov_coco(coco, capsys):
    load('ov_coco').main([str(coco)])
    train = read(coco / 'annotations' / 'ov_coco_train2017_base.json')
    val = read(coco / 'annotations' / 'ov_coco_val2017.json')
    novel = novel_names('ov_coco')
    assert len(train['images']) == len(val['images']) == 80  # images stay
    assert len(train['annotations']) == 48 and len(val['annotations']) == 65
    assert names_of_boxes(train) == set(class_names('ov_coco')) - novel
    for content in (train, val):
        splits = {row['name']: row['split'] for row in content['categories']}
        assert tuple(splits) == class_names('ov_coco')
        assert {name for name, split in splits.items() if split == 'novel'} == novel
    assert '80 images, 65 categories, 48 boxes (32 removed)' in capsys.readouterr().out


def test_ov_coco_with_80_classes_and_without_empty_images(coco):
    load('ov_coco').main([str(coco), '--classes', '80', '--drop-empty'])
    train = read(coco / 'annotations' / 'ov_coco_train2017_base_80.json')
    assert len(train['categories']) == 80 and len(train['images']) == 48
    assert sum(row['split'] == 'unused' for row in train['categories']) == 15
    assert len(read(coco / 'annotations' / 'ov_coco_val2017_80.json')['images']) == 80


def test_ov_lvis(tmp_path):
    rows = [dict(id=i, name=f'n{i}', frequency=f) for i, f in enumerate('fcrfr', 1)]
    source = tmp_path / 'lvis.json'
    source.write_text(json.dumps(annotations(rows)))
    tool = load('ov_lvis')
    tool.main([str(source)])
    base = read(tmp_path / 'lvis_base.json')
    assert names_of_boxes(base) == {'n1', 'n2', 'n4'}
    assert len(base['images']) == 5 and len(base['categories']) == 5
    tool.main([str(source), '--novel', 'n1', '--out', str(tmp_path / 'mine.json')])
    assert names_of_boxes(read(tmp_path / 'mine.json')) == {'n2', 'n3', 'n4', 'n5'}
    with pytest.raises(ValueError, match='n1.*novel'):
        tool.main([str(source), '--novel', 'n1', '--base', 'n1', 'n2', 'n3', 'n4', 'n5'])
    with pytest.raises(ValueError, match="2 categories are in no list, e.g. 'n4'"):
        tool.main([str(source), '--novel', 'n1', '--base', 'n2', 'n3'])


def test_lists_that_overlap_leave_out_or_do_not_exist():
    with pytest.raises(ValueError, match="'a' is in the lists 'base' and 'novel'"):
        split_of_names('ab', base='ab', novel='a')
    with pytest.raises(ValueError, match="1 categories are in no list, e.g. 'b'"):
        split_of_names('ab', base='a', novel='')
    with pytest.raises(ValueError, match="novel: 'c' is no category"):
        split_of_names('ab', base='ab', novel='c')
