"""ODVG files from COCO, MDETR and Flickr30k Entities annotations."""

import importlib.util
import json
from pathlib import Path

import pytest

from mmclip.datasets import ODVGDataset
from mmclip.datasets.odvg_writers import read_sentence

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = (
    '[/EN#1/people/bodyparts A tall man] in [/EN#2/clothing hats] sees [/EN#3/scene the sea] .'
)
XML = """<annotation><size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>1</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>12</ymax></bndbox>
</object>
<object><name>2</name><name>9</name>
<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
<object><name>2</name>
<bndbox><xmin>20</xmin><ymin>3</ymin><xmax>29</xmax><ymax>9</ymax></bndbox></object>
<object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object></annotation>"""


@pytest.fixture(scope='module')
def convert():
    path = ROOT / 'tools' / 'dataset_converters' / 'odvg.py'
    spec = importlib.util.spec_from_file_location('odvg_converter', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


def load(out, **settings):
    return ODVGDataset(ann_file=str(out), pipeline=[], test_mode=True, **settings)


def test_a_coco_file(tmp_path, convert):
    content = dict(
        images=[dict(id=3, file_name='a.png', height=40, width=60)],
        categories=[dict(id=9, name='moon'), dict(id=4, name='star')],
        annotations=[
            dict(id=1, image_id=3, category_id=9, bbox=[1, 2, 10, 10], iscrowd=0),
            dict(id=2, image_id=3, category_id=4, bbox=[1, 2, 10, 10], iscrowd=1),
        ],
    )
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    out = tmp_path / 'new' / 'train.jsonl'
    convert('coco', tmp_path / 'coco.json', '--out', out)
    data = load(out, label_map_file=str(out.with_name('label_map.json')))
    assert data.metainfo['classes'] == ('star', 'moon')
    assert data[0]['instances'] == [dict(bbox=[1, 2, 11, 12], bbox_label=1, ignore_flag=0)]


def test_mdetrs_json(tmp_path, convert):
    spans = [[2, 10]], [[2, 5], [17, 21]]
    content = dict(
        images=[
            dict(id=3, file_name='a.png', height=40, width=60, caption='a red star and a star')
        ],
        categories=[dict(id=1, name='object')],
        annotations=[
            dict(image_id=3, bbox=[1, 2, 10, 10], category_id=1, tokens_positive=spans[0]),
            dict(image_id=3, bbox=[20, 2, 10, 10], category_id=1, tokens_positive=spans[1]),
            dict(image_id=3, bbox=[40, 2, 10, 10], category_id=1, tokens_positive=spans[0]),
        ],
    )
    (tmp_path / 'mixed.json').write_text(json.dumps(content))
    out = tmp_path / 'mixed.jsonl'
    convert('mdetr', tmp_path / 'mixed.json', '--out', out)
    info = load(out)[0]
    assert info['phrase_spans'] == list(spans)
    assert info['phrase_boxes'] == [[[1, 2, 11, 12], [40, 2, 50, 12]], [[20, 2, 30, 12]]]
    regions = json.loads(out.read_text())['grounding']['regions']
    assert [region['phrase'] for region in regions] == ['red star', 'red star']
    del content['images'][0]['caption']
    (tmp_path / 'mixed.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='no caption'):
        convert('mdetr', tmp_path / 'mixed.json', '--out', tmp_path / 'none.jsonl')
    assert not (tmp_path / 'none.jsonl').exists()


def test_a_sentence_of_flickr30k():
    caption, phrases = read_sentence(SENTENCE)
    assert caption == 'A tall man in hats sees the sea .'
    assert [(caption[a:b], number, types) for (a, b), number, types in phrases] == [
        ('A tall man', '1', ['people', 'bodyparts']),
        ('hats', '2', ['clothing']),
        ('the sea', '3', ['scene']),
    ]


def test_flickr30k_entities(tmp_path, convert):
    for folder in ('Annotations', 'Sentences'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'test.txt').write_text('77\n')
    (tmp_path / 'Annotations' / '77.xml').write_text(XML)
    (tmp_path / 'Sentences' / '77.txt').write_text(f'{SENTENCE}\nNothing here .\n')
    out = tmp_path / 'test.jsonl'
    convert('flickr30k', tmp_path, '--split', 'test', '--out', out)
    data = load(out)
    assert len(data) == 1
    assert data[0]['phrase_types'] == [['people', 'bodyparts'], ['clothing']]
    assert data[0]['phrase_boxes'] == [[[1, 2, 11, 12]], [[3, 3, 9, 9], [20, 3, 29, 9]]]
    with pytest.raises(FileNotFoundError, match='val.txt'):
        convert('flickr30k', tmp_path, '--split', 'val', '--out', out)
