"""From a record with a question to the text that the model reads."""

import json

import cv2
import numpy as np
import pytest

from mmclip.datasets import ODVGDataset
from mmclip.registry import TRANSFORMS

CLIP = dict(type='mmclip.CLIPTokens')
QUESTION = 'what color is the star'


def info(tmp_path, **more) -> dict:
    regions = [
        dict(bbox=[1, 1, 20, 20], tokens_positive=[[18, 22]]),
        dict(bbox=[5, 5, 30, 30], tokens_positive=[[23, 26]]),
    ]
    content = dict(caption=f'{QUESTION} red', regions=regions) | more
    record = dict(filename='0.png', height=40, width=60, grounding=content)
    cv2.imwrite(str(tmp_path / '0.png'), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / 'a.jsonl').write_text(json.dumps(record))
    pipeline = [
        dict(type='mmcv.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmclip.MaskAnswerTokens', tokenizer=CLIP),
        dict(type='mmclip.CaptionGrounding', tokenizer=CLIP),
        dict(type='mmclip.PackGroundingInputs'),
    ]
    data = ODVGDataset(
        ann_file=str(tmp_path / 'a.jsonl'),
        data_prefix=dict(img=str(tmp_path)),
        pipeline=pipeline,
    )
    return data[0]['data_samples']


def test_the_answer_is_hidden_and_keeps_its_box(tmp_path):
    sample = info(tmp_path, question=QUESTION)
    assert sample.text.startswith(QUESTION + ' ') and 'red' not in sample.text
    (star,), (answer,) = sample.phrase_spans
    assert sample.text[slice(*star)] == 'star' and answer == [23, len(sample.text)]
    assert sample.gt_instances.labels.tolist() == [0, 1]
    tokenizer = TRANSFORMS.build(dict(type='mmclip.MaskAnswerTokens', tokenizer=CLIP)).tokenizer
    ids = tokenizer([sample.text], 16).ids[0].tolist()
    assert ids.count(tokenizer.mask_id) == 1


def test_a_caption_without_a_question_stays(tmp_path):
    assert info(tmp_path).text == f'{QUESTION} red'


def test_a_question_that_the_caption_does_not_ask_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='does not begin with the question'):
        info(tmp_path, question='who is it')
