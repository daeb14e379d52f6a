"""PhraseCut's annotations as grounding records with masks."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmclip.datasets.odvg import ODVGDataset

PATH = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'phrase_cut.py'
SPEC = importlib.util.spec_from_file_location('phrase_cut', PATH)
phrase_cut = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(phrase_cut)


def write(folder: Path, image_id: int = 7) -> None:
    size = dict(image_id=7, height=40, width=60, split='test')
    row = dict(
        task_id='7__1',
        image_id=image_id,
        phrase='two wooden chairs',
        instance_boxes=[[1, 2, 10, 20], [30.5, 5, 12, 8]],
        Polygons=[
            [[[1, 2], [11, 2], [11, 22]], [[1, 20], [3, 22], [1, 22]]],
            [[[30.5, 5], [42.5, 5], [42.5, 13]]],
        ],
    )
    (folder / 'image_data_split.json').write_text(json.dumps([size]))
    (folder / 'refer_test.json').write_text(json.dumps([row]))


def test_the_data_set_reads_phrases_boxes_and_masks(tmp_path, capsys):
    write(tmp_path)
    phrase_cut.main([str(tmp_path)])
    assert 'odvg_test.jsonl: 1 records' in capsys.readouterr().out
    cv2.imwrite(str(tmp_path / '7.jpg'), np.zeros((40, 60, 3), np.uint8))
    data = ODVGDataset(
        ann_file=str(tmp_path / 'odvg_test.jsonl'),
        data_prefix=dict(img=str(tmp_path)),
        test_mode=True,
        pipeline=[],
    )
    info = data[0]
    assert info['text'] == 'two wooden chairs' and info['phrase_spans'] == [[[0, 17]]]
    assert info['img_id'] == '7__1' and info['phrase_boxes'] == [
        [[1.0, 2.0, 11.0, 22.0], [30.5, 5.0, 42.5, 13.0]]
    ]
    masks = [row['mask'] for row in info['instances']]
    assert masks == [
        [[1, 2, 11, 2, 11, 22], [1, 20, 3, 22, 1, 22]],
        [[30.5, 5, 42.5, 5, 42.5, 13]],
    ]
    assert [row['bbox_label'] for row in info['instances']] == [0, 0]


def test_missing_files_and_unknown_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='image_data_split.json'):
        phrase_cut.main([str(tmp_path)])
    write(tmp_path, image_id=8)
    with pytest.raises(ValueError, match='no image 8'):
        phrase_cut.main([str(tmp_path)])
