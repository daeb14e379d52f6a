"""Streams of pseudo-labeled pairs: which samples come, with which boxes."""

import io
import json
import tarfile
from collections import deque

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image

from mmclip.datasets import GroundingShards
from mmclip.datasets.grounding_shards import CaptionStream, shard_names
from mmclip.text.captions import Caption


def write(folder, shard, scores, folders=()):
    """A shard of one sample per score; its label has one box (red star) with that score."""
    lines = []
    with tarfile.open(folder / f'{shard}.tar', 'w') as archive:
        for number, score in enumerate(scores):
            buffer = io.BytesIO()
            Image.new('RGB', (40, 30), (255, 0, 0)).save(buffer, 'PNG')
            key = f'{folders[number]}0000' if folders else f'{number:04d}'
            caption = f'a red star {shard} {number}'
            for end, payload in (('png', buffer.getvalue()), ('txt', caption.encode())):
                member = tarfile.TarInfo(f'{key}.{end}')
                member.size = len(payload)
                archive.addfile(member, io.BytesIO(payload))
            region = dict(phrase='red star', tokens_positive=[[2, 10]], bbox=[[1, 2, 11, 12]])
            region['scores'] = [score]
            record = dict(filename=f'{shard}.tar/{key}.png', height=30, width=40)
            record['grounding'] = dict(caption=caption, regions=[region])
            if score is not None:
                lines.append(json.dumps(record) + '\n')
    (folder / f'{shard}.jsonl').write_text(''.join(lines))


def build(folder, **settings):
    settings = dict(epoch_size=20, shuffle=0, pipeline=[]) | settings
    return GroundingShards(shards=str(folder / 's{0..1}.tar'), labels=folder, **settings)


def test_samples_have_boxes_and_others_are_passed_over(tmp_path):
    write(tmp_path, 's0', [0.9, 0.3, None])  # of the last one nobody found anything
    write(tmp_path, 's1', [0.8])
    samples = [build(tmp_path)[i] for i in (0,)]
    data = build(tmp_path)
    samples = [data[i] for i in range(6)]
    assert {s['text'] for s in samples} == {'a red star s0 0', 'a red star s1 0'}
    one = samples[0]
    assert one['img'].shape == (30, 40, 3) and one['img'][0, 0].tolist() == [0, 0, 255]  # BGR
    assert one['phrase_spans'] == [[[2, 10]]]
    assert one['instances'] == [dict(bbox=[1, 2, 11, 12], bbox_label=0, ignore_flag=0)]
    others = one['caption_pool'].draw(3, np.random.RandomState(0))
    assert {(other.text, other.phrase(0)) for other in others} == {('a red star s1 0', 'red star')}


def test_min_score_and_min_boxes_of_nothing_let_all_pass(tmp_path):
    write(tmp_path, 's0', [0.9, 0.3, None])
    write(tmp_path, 's1', [0.8])
    data = build(tmp_path, min_boxes=0)
    samples = {s['text']: s for s in (data[i] for i in range(12))}
    assert len(samples) == 3 and samples['a red star s0 1']['instances'] == []


def test_mixes_with_other_data_sets(tmp_path):
    write(tmp_path, 's0', [0.9])
    write(tmp_path, 's1', [0.8])
    stream = dict(type='mmclip.GroundingShards', shards=str(tmp_path / 's{0..1}.tar'))
    stream |= dict(labels=str(tmp_path), epoch_size=5, shuffle=0)
    record = dict(filename='0.png', height=9, width=9, grounding=dict(caption='x', regions=[]))
    (tmp_path / 'a.jsonl').write_text(json.dumps(record))
    lines = dict(type='mmclip.ODVGDataset', ann_file=str(tmp_path / 'a.jsonl'), pipeline=[])
    data = DATASETS.build(dict(type='mmdet.ConcatDataset', datasets=[lines, stream]))
    assert len(data) == 6
    assert data[0]['text'] == 'x' and data[3]['text'].startswith('a red star')


def test_what_is_drawn_depends_on_this_epoch_only(tmp_path):
    write(tmp_path, 's0', [0.9, 0.8])
    write(tmp_path, 's1', [0.8, 0.7])
    data = build(tmp_path)
    for epoch in range(2):
        data.set_order(0, epoch)
        samples = [data[i] for i in range(3)]
        assert len(samples[-1]['caption_pool'].captions) == 3


def test_a_stream_of_captions_forgets_the_oldest():
    captions, rng = deque(maxlen=3), np.random.RandomState(0)
    stream = CaptionStream(captions, 'own')
    assert stream.draw(3, rng) == []
    captions.extend(Caption(text, ()) for text in ('old', 'a', 'b', 'own'))
    drawn = stream.draw(3, rng)
    assert len(drawn) == 2 and {one.text for one in drawn} <= {'a', 'b'}


def test_a_caption_is_no_negative_of_its_own_image(tmp_path):
    write(tmp_path, 's0', [0.9, 0.8])
    write(tmp_path, 's1', [0.8])
    data, rng = build(tmp_path), np.random.RandomState(0)
    for sample in (data[i] for i in range(9)):
        others = sample['caption_pool'].draw(50, rng)
        assert sample['text'] not in [other.text for other in others]


def test_keys_of_two_folders_are_two_samples(tmp_path):
    write(tmp_path, 's0', [0.9, 0.8], folders=('x/', 'y/'))
    write(tmp_path, 's1', [0.7])
    data = build(tmp_path)
    found = {sample['img_path']: sample['text'] for sample in (data[i] for i in range(6))}
    assert {path.split('.tar/')[1]: text for path, text in found.items()} == {
        'x/0000.png': 'a red star s0 0',
        'y/0000.png': 'a red star s0 1',
        '0000.png': 'a red star s1 0',
    }


def test_bad_input(tmp_path, monkeypatch):
    write(tmp_path, 's0', [0.1])
    write(tmp_path, 's1', [0.1])
    monkeypatch.setattr('mmclip.datasets.grounding_shards.UNLABELED_IN_A_ROW', 5)
    with pytest.raises(ValueError, match='5 samples in a row'):
        build(tmp_path)[0]
    (tmp_path / 's1.jsonl').unlink()
    with pytest.raises(FileNotFoundError, match='tools/pseudo_label.py'):
        build(tmp_path)
    with pytest.raises(ValueError, match='label them apart'):
        shard_names(['a/s0.tar', 'b/s0.tar'])
