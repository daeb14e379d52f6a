"""tools/pseudo_label.py: contents, several processes, interruptions, bad input."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from PIL import Image
from safetensors.torch import save_file

from mmclip.cli import label as label_command
from mmclip.datasets import GroundingShards
from mmclip.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
COLORS = dict(red=(255, 0, 0), green=(0, 255, 0), blue=(0, 0, 255))
CONFIG = """
default_scope = 'mmdet'
model = dict(type='mmclip.ToyGrounder', data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(80, 80), keep_ratio=True, interpolation='nearest'),
    dict(type='mmdet.PackDetInputs')]))
"""


@MODELS.register_module()
class ToyGrounder(BaseModel):
    """Finds the extent of the color that a phrase names; the weight is its score."""

    def __init__(self, data_preprocessor: dict) -> None:
        super().__init__(data_preprocessor)
        self.score = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples, mode):
        for image, sample in zip(inputs, data_samples, strict=True):
            boxes, labels = [], []
            for label, ((start, end),) in enumerate(sample.phrase_spans):
                color = torch.tensor(COLORS[sample.text[start:end].split()[-2]][::-1])  # BGR
                places = (image == color[:, None, None]).all(0).nonzero()
                if len(places):
                    low, high = places.amin(0), places.amax(0) + 1
                    scale = torch.tensor(sample.scale_factor).repeat(2)
                    boxes.append(torch.stack([low[1], low[0], high[1], high[0]]) / scale)
                    labels.append(label)
            sample.pred_instances = InstanceData(
                bboxes=torch.stack(boxes) if boxes else torch.empty(0, 4),
                labels=torch.tensor(labels, dtype=torch.long),
                scores=self.score.detach().expand(len(boxes)),
            )
        return data_samples


@pytest.fixture(scope='module')
def tool():
    return label_command


def image(color):
    """40 x 20 with a square of 10 at (5, 5)."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[5:15, 5:15] = COLORS[color]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


def write_shard(path, samples):
    with tarfile.open(path, 'w') as archive:
        for number, (payload, caption) in enumerate(samples):
            for end, data in (('png', payload), ('txt', caption.encode())):
                member = tarfile.TarInfo(f'{number:03d}.{end}')
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pairs')
    (folder / 'toy.py').write_text(CONFIG)
    for name, score in (('sure', 0.75), ('unsure', 0.5)):
        save_file({'score': torch.tensor(score)}, folder / f'{name}.safetensors')
    write_shard(
        folder / 's0.tar',
        [
            (image('red'), 'a red square beside a blue square'),
            (image('green'), 'nothing'),
            (image('green'), 'look: a green square and a green square'),
        ],
    )
    write_shard(folder / 's1.tar', [(b'no image', 'a red square'), (image('blue'), 'a red x')])
    write_shard(folder / 's2.tar', [(image('blue'), f'{n} blue square') for n in range(5)])
    (folder / 'words.txt').write_text('red green blue square x')
    return folder


def arguments(data, out, *more, checkpoint='sure', shards='s{0..2}.tar'):
    return [
        *(str(data / 'toy.py'), str(data / f'{checkpoint}.safetensors')),
        *('--shards', str(data / shards), '--out', str(out)),
        *('--phrases', str(data / 'words.txt'), '--batch-size', '2', *more),
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope='module')
def labels(tool, data, tmp_path_factory):
    out = tmp_path_factory.mktemp('labels') / 'whole'
    tool.main(arguments(data, out))
    return out


def test_records_say_where_the_phrases_are(labels):
    first, third = lines(labels / 's0.jsonl')
    assert first['filename'] == 's0.tar/000.png' and (first['height'], first['width']) == (20, 40)
    assert first['grounding'] == dict(
        caption='a red square beside a blue square',
        regions=[
            dict(
                phrase='red square', tokens_positive=[[2, 12]], bbox=[[5, 5, 15, 15]], scores=[0.75]
            )
        ],
    )
    assert [r['tokens_positive'] for r in third['grounding']['regions']] == [[[8, 20]], [[27, 39]]]
    assert lines(labels / 's1.jsonl') == []
    assert len(lines(labels / 's2.jsonl')) == 5


def test_the_student_reads_them(labels, data):
    shards = str(data / 's{0,2}.tar')
    stream = GroundingShards(
        shards=shards, labels=labels, epoch_size=9, shuffle=0, pipeline=[], min_score=0.7
    )
    found = [stream[i] for i in range(9)]
    one = next(sample for sample in found if sample['text'].startswith('a red'))
    assert one['phrase_spans'] == [[[2, 12]]] and one['img'][7, 7].tolist() == [0, 0, 255]
    assert one['instances'] == [dict(bbox=[5, 5, 15, 15], bbox_label=0, ignore_flag=0)]


@pytest.mark.parametrize('world', [2, 4])
def test_any_number_of_processes_make_the_same_bytes(
    tool, data, labels, tmp_path, monkeypatch, world
):
    monkeypatch.setenv('WORLD_SIZE', str(world))
    for rank in reversed(range(world)):
        monkeypatch.setenv('RANK', str(rank))
        tool.main(arguments(data, tmp_path / 'out'))
    assert content(tmp_path / 'out') == content(labels)


def test_an_interrupted_run_goes_on(tool, data, labels, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    write = tool.label_shards.__globals__['write_lines']
    calls = []

    def break_off(path, records):
        calls.append(path.name)
        if path.name == 's1.jsonl':
            raise KeyboardInterrupt
        return write(path, records)

    monkeypatch.setitem(tool.label_shards.__globals__, 'write_lines', break_off)
    with pytest.raises(KeyboardInterrupt):
        tool.main(arguments(data, out))
    assert sorted(path.name for path in out.iterdir()) == ['meta.json', 's0.jsonl']
    monkeypatch.undo()
    before = (out / 's0.jsonl').stat().st_mtime_ns
    capsys.readouterr()
    tool.main(arguments(data, out))
    assert content(out) == content(labels)
    assert (out / 's0.jsonl').stat().st_mtime_ns == before
    assert '3 of 3 shards are labeled' in capsys.readouterr().out


def test_a_thin_image_is_broken_not_the_run(tool, data, tmp_path, capsys):
    line = io.BytesIO()
    Image.new('RGB', (300, 1)).save(line, 'PNG')  # 80 x 0 after the resize
    thin = (line.getvalue(), 'a red square')
    write_shard(tmp_path / 't0.tar', [thin, (image('red'), 'a red square'), thin, thin])
    given = arguments(data, tmp_path / 'out')
    given[3] = str(tmp_path / 't0.tar')
    tool.main(given)
    assert [one['filename'] for one in lines(tmp_path / 'out/t0.jsonl')] == ['t0.tar/001.png']
    assert '4 pairs, 1 with boxes' in (said := capsys.readouterr().out) and '3 broken' in said


def test_a_pipeline_that_prepares_nothing_is_an_error(tool, data, tmp_path, monkeypatch):
    monkeypatch.setitem(tool.label_shard.__globals__, 'ALL_BROKEN', 2)
    monkeypatch.setattr(tool.Teacher, 'prepare', lambda self, pair: 1 / 0)
    with pytest.raises(ValueError, match='2 pairs of .*s2.tar none can be prepared'):
        tool.main(arguments(data, tmp_path, shards='s2.tar'))


@pytest.mark.parametrize('kept', [512 * 3 + 40, 512 * 4, 100, 0])  # in an image, between, none
def test_a_shard_that_is_cut_off_gets_no_file(tool, data, labels, tmp_path, kept):
    for name in ('s0', 's1', 's2'):
        (tmp_path / f'{name}.tar').write_bytes((data / f'{name}.tar').read_bytes())
    whole = (data / 's0.tar').read_bytes()
    (tmp_path / 's0.tar').write_bytes(whole[:kept])
    given = arguments(data, tmp_path / 'out')
    given[3] = str(tmp_path / 's{0..2}.tar')
    with pytest.raises(SystemExit, match='1 shards are damaged'):
        tool.main(given)
    assert sorted(content(tmp_path / 'out')) == ['meta.json', 's1.jsonl', 's2.jsonl']
    (tmp_path / 's0.tar').write_bytes(whole)
    tool.main(given)
    assert content(tmp_path / 'out') == content(labels)


def test_a_compressed_shard_that_is_cut_off_gets_no_file(tool, data, tmp_path):
    whole = gzip.compress((data / 's2.tar').read_bytes())
    (tmp_path / 's2.tar.gz').write_bytes(whole[: len(whole) // 2])
    given = arguments(data, tmp_path / 'out')
    given[3] = str(tmp_path / 's2.tar.gz')
    with pytest.raises(SystemExit, match='1 shards are damaged'):
        tool.main(given)
    assert sorted(content(tmp_path / 'out')) == ['meta.json']


def test_scores_must_exceed_the_threshold(tool, data, tmp_path):
    tool.main(arguments(data, tmp_path, checkpoint='unsure', shards='s0.tar'))
    assert lines(tmp_path / 's0.jsonl') == []
    lower = tmp_path / 'lower'
    tool.main(arguments(data, lower, '--min-score', '0.4', checkpoint='unsure', shards='s0.tar'))
    assert len(lines(lower / 's0.jsonl')) == 2


def test_a_dry_run_says_the_cost_and_writes_nothing(tool, data, tmp_path, capsys):
    tool.main(arguments(data, tmp_path / 'out', '--dry-run', '1', '--price', '2'))
    said = capsys.readouterr().out
    assert 'pairs/s' in said and 'process-hours' in said and 'at 2 per process-hour' in said
    assert not (tmp_path / 'out').exists()


def test_the_summary_counts_what_was_left_out(tool):
    counts = tool.Counts(pairs=3600, labeled=10, boxes=12, broken=1, without_phrase=2, seconds=36.0)
    said = tool.summary(counts, 4, 3.0)
    assert '10 with boxes, 12 boxes; 2 without a phrase, 1 broken' in said
    assert '100.0 pairs/s' in said and '2.8 process-hours, 0.7 h in 4 processes, 8.33 at 3' in said


def test_bad_input(tool, data, labels, tmp_path):
    with pytest.raises(ValueError, match='min_score 0.5 not 0.9'):
        tool.main(arguments(data, labels, '--min-score', '0.9'))
    with pytest.raises(FileNotFoundError, match='s9.tar'):
        tool.main(arguments(data, tmp_path, shards='s9.tar'))
    with pytest.raises(SystemExit):
        tool.main(arguments(data, tmp_path, '--min-score', '1'))
    for option in ('--batch-size', '--workers', '--threads', '--dry-run'):
        with pytest.raises(SystemExit):
            tool.main(arguments(data, tmp_path / 'none', option, '0'))
    assert not (tmp_path / 'none').exists()
    save_file({'other': torch.zeros(1)}, tmp_path / 'bad.safetensors')
    bad = arguments(data, tmp_path / 'out')
    bad[1] = str(tmp_path / 'bad.safetensors')
    with pytest.raises(ValueError, match=r'does not fit .* has 1 weight \(other: 1\)'):
        tool.main(bad)
    twice = arguments(data, tmp_path / 'twice')
    twice.insert(3, str(data / 's0.tar'))
    with pytest.raises(ValueError, match='label them apart'):
        tool.main(twice)


@pytest.mark.parametrize('damage', ['header', 'zeros'])
def test_a_shard_that_is_damaged_in_the_middle_gets_no_file(tool, data, tmp_path, capsys, damage):
    whole = bytearray((data / 's0.tar').read_bytes())
    place = whole.rindex(b'.txt', 0, whole.rindex(b'.png')) // 512 * 512 + 1024  # the last pair's
    if damage == 'header':
        whole[place] ^= 0x10
    else:
        whole[place : place + 512] = bytes(512)
    (tmp_path / 's0.tar').write_bytes(whole)
    given = arguments(data, tmp_path / 'out')
    given[3] = str(tmp_path / 's0.tar')
    with pytest.raises(SystemExit, match='1 shards are damaged'):
        tool.main(given)
    said = capsys.readouterr().out
    assert '0 of 1 shards are labeled' in said
    assert sorted(content(tmp_path / 'out')) == ['meta.json']
