"""Files of boxes: every form, and what is said about bad ones."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmclip.models.vild.region_boxes import FileBoxes

ARRAYS = dict(
    image_ids=np.array([5, 9]),
    offsets=np.array([0, 1, 3]),
    boxes=np.array([[0, 0, 4, 4], [1, 1, 5, 5], [2, 2, 9, 9]], np.float32),
    scores=np.array([1, 0.5, 0.75], np.float32),
)
ROWS = [
    dict(image_id=5, bbox=[0, 0, 4, 4]),
    dict(image_id=9, bbox=[1, 1, 4, 4], score=0.5),
    dict(image_id=9, bbox=[2, 2, 7, 7], score=0.75),
]


@pytest.mark.parametrize('form', ['npz', 'safetensors', 'json', 'annotations'])
def test_every_form_gives_the_boxes(tmp_path, form):
    path = tmp_path / f'a.{"json" if form == "annotations" else form}'
    if form == 'npz':
        np.savez_compressed(path, **ARRAYS)
    elif form == 'safetensors':
        save_file({name: torch.from_numpy(value) for name, value in ARRAYS.items()}, path)
    else:
        images = [dict(id=9), dict(id=5), dict(id=7)]
        content = ROWS if form == 'json' else dict(annotations=ROWS, images=images)
        path.write_text(json.dumps(content))
    found = FileBoxes(path)
    boxes, scores = found(9)
    assert boxes.tolist() == [[2, 2, 9, 9], [1, 1, 5, 5]] and scores.tolist() == [0.75, 0.5]
    assert found(5)[0].tolist() == [[0, 0, 4, 4]] and found(7)[0].shape == (0, 4)


def row(**change):
    return json.dumps([ROWS[0], ROWS[1] | change])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no json'),
        ('[' * 100000, 'nested too deeply'),
        ('5', 'expected an object or a list'),
        ('{"annotations": null, "images": []}', 'TypeError'),
        ('{}', "lacks the entry 'annotations'"),
        ('[5]', 'entry 0'),
        (row(image_id=1.5), 'entry 1: image_id is 1.5, not a whole number'),
        (row(image_id='a'), "entry 1: image_id is 'a'"),
        (row(bbox=[1, 2, 3]), r'entry 1: bbox is \[1, 2, 3\], not 4 numbers'),
        (row(bbox='abcd'), "entry 1: bbox is 'abcd'"),
        (row(bbox=[1, 2, float('nan'), 3]), 'entry 1: bbox is .*not finite'),
        (row(bbox=[1, 2, 10**400, 3]), 'entry 1: .*OverflowError'),
        (row(score=float('inf')), 'entry 1: score is .*not finite'),
        ('[{"image_id": 1}]', "entry 0: lacks the entry 'bbox'"),
        ('{"annotations": [], "images": [{"id": 1}, {"id": 1}]}', 'two images have one id'),
    ],
)
def test_a_bad_json_is_named(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=rf'a\.json is not a file of boxes: .*{message}.*--help'):
        FileBoxes(tmp_path / 'a.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(image_ids=np.array([5, 5])), 'image id 5 comes more than once'),
        (dict(image_ids=np.array([5, 9.5])), 'image_ids 9.5 is not a whole number'),
        (dict(image_ids=np.array(['5', '9'])), 'image_ids: <U1'),
        (dict(offsets=np.array([0, 1.5, 3])), 'offsets 1.5 is not a whole number'),
        (dict(offsets=np.array([0, 4, 3])), 'offsets go down'),
        (dict(offsets=np.array([0, 3])), 'do not fit each other'),
        (dict(boxes=np.zeros((4, 3))), r'boxes: float64 of the shape \(4, 3\)'),
        (dict(boxes=np.full((3, 4), np.inf)), 'boxes: row 0 is not finite'),
        (dict(scores=np.array([1, np.nan, 1])), 'scores: row 1 is not finite'),
        (dict(scores=np.ones((3, 1))), r'scores: float64 of the shape \(3, 1\)'),
        (dict(image_ids=np.array([5, float('inf')])), 'not a whole number'),
    ],
)
def test_bad_arrays_are_named(tmp_path, change, message):
    np.savez(tmp_path / 'a.npz', **(ARRAYS | change))
    with pytest.raises(ValueError, match=rf'a\.npz is not a file of boxes: .*{message}'):
        FileBoxes(tmp_path / 'a.npz')


def test_damaged_files_of_boxes_are_named(tmp_path):
    np.savez_compressed(tmp_path / 'a.npz', **ARRAYS)
    whole = (tmp_path / 'a.npz').read_bytes()
    for name in ('a.npz', 'a.safetensors', 'a.json'):
        for data in (b'', whole[:-30], b'\xff' * 90):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ValueError, match=f'{name} is not a file of boxes'):
                FileBoxes(tmp_path / name)
