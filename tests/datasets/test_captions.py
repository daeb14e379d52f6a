"""Caption shards: who reads what, how long an epoch is, and what a broken sample does."""

import io
import json
import logging
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from mmclip.datasets import captions
from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.shard_sampler import Place, ShardSampler
from mmclip.registry import DATASETS

SHARDS, PER_SHARD = 4, 10
TOTAL = SHARDS * PER_SHARD


def png(value: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 6, 3), value, np.uint8)).save(stream, 'png')
    return stream.getvalue()


def write_shard(path: Path, samples: list[dict[str, bytes]]) -> None:
    with tarfile.open(path, 'w') as archive:
        for index, sample in enumerate(samples):
            for ending, payload in sample.items():
                member = tarfile.TarInfo(f'{index:04d}.{ending}')
                member.size = len(payload)
                archive.addfile(member, io.BytesIO(payload))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Four shards of ten samples; a caption is the number of its sample."""
    for name in ('RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    for shard in range(SHARDS):
        numbers = range(shard * PER_SHARD, (shard + 1) * PER_SHARD)
        samples = [dict(png=png(n), txt=f'number {n}\n'.encode()) for n in numbers]
        write_shard(tmp_path / f'{shard}.tar', samples)
    return tmp_path


def dataset(folder: Path, **kwargs) -> CaptionShards:
    defaults = dict(shards=str(folder / '{0..3}.tar'), epoch_size=TOTAL, shuffle=5)
    return CaptionShards(**{**defaults, **kwargs})


def number(sample: dict) -> int:
    return int(sample['text'].removeprefix('number '))


def collate(samples: list[dict]) -> list[int]:
    return [number(sample) for sample in samples]


def loader(data: CaptionShards, *, workers: int = 0, batch_size: int = 4, **kwargs) -> DataLoader:
    sampler = ShardSampler(data, seed=0, **kwargs)
    return DataLoader(
        data, batch_size, sampler=sampler, num_workers=workers, collate_fn=collate, drop_last=True
    )


def flat(batches) -> list[int]:
    return [n for batch in batches for n in batch]


def test_plain_indices_take_the_order_that_they_are_told(folder):
    def first(seed: int, epoch: int) -> list[int]:
        data.set_order(seed, epoch)
        return [number(data[i]) for i in range(8)]

    data = dataset(folder)
    orders = [first(*place) for place in ((0, 0), (1, 0), (0, 1), (0, 0))]
    assert orders[0] == orders[3] and len({tuple(order) for order in orders}) == 3
    other = dataset(folder)
    assert orders[1] == [number(other[Place(1, 0, i)]) for i in range(8)]


def test_a_sample_is_a_image_with_its_own_text(folder):
    sample = dataset(folder)[Place(0, 0, 0)]
    assert np.asarray(sample['img'])[0, 0, 0] == number(sample)
    assert sample['text'] == sample['text'].strip()
    assert sample['img_shape'] == sample['ori_shape'] == (8, 6)
    assert '.tar/000' in sample['img_path']


def test_an_epoch_without_repeats_is_every_sample_once_in_mixed_order(folder):
    seen = flat(loader(dataset(folder)))
    assert sorted(seen) == list(range(TOTAL))
    assert seen != sorted(seen)
    unshuffled = flat(loader(dataset(folder, shuffle=0)))
    starts = unshuffled[::PER_SHARD]
    assert unshuffled == [start + i for start in starts for i in range(PER_SHARD)]


def test_the_order_follows_seed_and_epoch_and_nothing_else(folder):
    def order(seed, epoch):
        data = dataset(folder)
        return [number(data[Place(seed, epoch, i)]) for i in range(TOTAL)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)
    # A run that resumes at epoch 1 sees what an uninterrupted one sees there.
    data = dataset(folder)
    sampler = ShardSampler(data, seed=0)
    whole = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        whole.append([number(data[place]) for place in sampler])
    assert whole == [order(0, 0), order(0, 1)]


def test_an_epoch_has_the_length_asked_for(folder):
    short, long = dataset(folder, epoch_size=12), dataset(folder, epoch_size=100)
    assert len(flat(loader(short))) == 12 == len(short)
    counts = Counter(flat(loader(long)))
    assert counts.total() == 100
    assert len(counts) == TOTAL and max(counts.values()) <= 4  # whole turns, plus the buffer's edge


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_share_the_shards_without_overlap(folder, workers):
    batches = list(loader(dataset(folder), workers=workers, batch_size=5))
    assert len(batches) == TOTAL // 5
    assert sorted(flat(batches)) == list(range(TOTAL))
    if workers == 2:
        parts = [{n // PER_SHARD for n in flat(batches[w::2])} for w in range(2)]
        assert parts[0].isdisjoint(parts[1]) and len(parts[0]) == len(parts[1]) == 2
    again = list(loader(dataset(folder), workers=workers, batch_size=5))
    assert again == batches


@pytest.mark.slow
@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_workers_do_not_go_on_with_what_their_parent_read(folder, context):
    data = dataset(folder)
    assert number(data[Place(0, 0, 0)]) < TOTAL
    sampler = ShardSampler(data, seed=0)
    settings = dict(num_workers=2, multiprocessing_context=context, collate_fn=pseudo_collate)
    batches = DataLoader(data, 5, sampler=sampler, **settings)
    seen = [text for batch in batches for text in batch['text']]
    assert len(set(seen)) == len(seen) == TOTAL


def test_processes_share_the_shards_without_overlap(folder, monkeypatch):
    seen = []
    for rank in range(2):
        monkeypatch.setenv('RANK', str(rank))
        monkeypatch.setenv('WORLD_SIZE', '2')
        data = dataset(folder)
        monkeypatch.setattr('mmclip.datasets.shard_sampler.get_dist_info', lambda r=rank: (r, 2))
        sampler = ShardSampler(data, seed=0)
        assert len(sampler) == TOTAL // 2
        seen.append([number(data[place]) for place in sampler])
    assert len(seen[0]) == len(seen[1]) == TOTAL // 2
    assert sorted(seen[0] + seen[1]) == list(range(TOTAL))


def test_what_is_left_out_changes_nothing_behind_it(folder):
    path = folder / '0.tar'
    write_shard(path, [dict(png=b'broken', txt=b'number 0'), dict(png=png(), txt=b'number 1')])
    whole, resumed = dataset(folder), dataset(folder)
    expected = [number(whole[Place(0, epoch, i)]) for epoch in range(2) for i in range(TOTAL)]
    for i in range(TOTAL):
        resumed.skip(Place(0, 0, i))  # an epoch that is over costs nothing
    for i in range(13):
        resumed.skip(Place(0, 1, i))
    assert resumed.skipped == 0
    rest = [number(resumed[Place(0, 1, i)]) for i in range(13, TOTAL)]
    assert rest == expected[TOTAL + 13 :]


def test_endless_sampler_goes_on_with_the_next_epoch(folder):
    data = dataset(folder)
    places = iter(ShardSampler(data, seed=3, endless=True))
    first = [next(places) for _ in range(TOTAL + 1)]
    assert first[0] == (3, 0, 0) and first[-1] == (3, 1, 0)


def test_fewer_shards_than_readers_is_an_error(folder, monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '5')
    with pytest.raises(ValueError, match='4 are too few for 5 processes'):
        dataset(folder)[0]


def warnings_of(caplog) -> str:
    return '\n'.join(record.getMessage() for record in caplog.records)


def test_broken_samples_are_counted_and_skipped(folder, caplog):
    good = dict(png=png(), txt=b'number 7')
    broken = [
        dict(png=png()[:40], txt=b'number 1'),
        dict(png=b'not an image', txt=b'number 2'),
        dict(png=png()),
        dict(txt=b'number 3'),
        dict(png=png(), txt=b'  \n'),
        dict(png=png(), txt=b'\xff\xfe'),
    ]
    write_shard(folder / 'bad.tar', [*broken, good])
    data = dataset(folder, shards=str(folder / 'bad.tar'), shuffle=0)
    with caplog.at_level(logging.WARNING):
        assert number(data[0]) == 7
    assert data.skipped == len(broken)
    assert number(data[1]) == 7 and data.skipped == 2 * len(broken)


def test_a_shard_that_is_cut_off_gives_what_it_holds(folder):
    path = folder / '0.tar'
    path.write_bytes(path.read_bytes()[:9000])
    data = dataset(folder, shuffle=0)
    seen = {number(data[i]) for i in range(3 * TOTAL)}
    assert data.skipped > 0
    assert seen > set(range(PER_SHARD, TOTAL)) and seen != set(range(TOTAL))


def test_nothing_readable_is_an_error_and_no_endless_loop(folder, monkeypatch):
    (folder / 'noise.tar').write_bytes(b'no tar file' * 100)
    with pytest.raises(ValueError, match='no sample'):
        dataset(folder, shards=str(folder / 'noise.tar'))[0]
    write_shard(folder / 'bad.tar', [dict(png=b'no image', txt=b'text')])
    monkeypatch.setattr(captions, 'BROKEN_IN_A_ROW', 5)
    with pytest.raises(ValueError, match='5 samples in a row'):
        dataset(folder, shards=str(folder / 'bad.tar'))[0]


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(shards='nowhere/{0..1}.tar'), FileNotFoundError, r'nowhere/0.tar.*make_mini_world'),
        (dict(shards=[]), ValueError, 'names no shard'),
        (dict(epoch_size=0), ValueError, 'epoch_size: 0'),
    ],
)
def test_bad_arguments(folder, arguments, error, message):
    with pytest.raises(error, match=message):
        dataset(folder, **arguments)


def test_more_processes_than_samples_is_an_error(folder, monkeypatch):
    monkeypatch.setattr('mmclip.datasets.shard_sampler.get_dist_info', lambda: (0, 9))
    with pytest.raises(ValueError, match='8 samples for 9 processes'):
        ShardSampler(dataset(folder, epoch_size=8), seed=0)


def test_runs_under_mmengines_loader_with_the_pipeline_of_the_configs(folder):
    config = dict(
        batch_size=10,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
        sampler=dict(type='mmclip.ShardSampler'),
        dataset=dict(
            type='mmclip.CaptionShards',
            shards=str(folder / '{0..3}.tar'),
            epoch_size=TOTAL,
            shuffle=5,
            pipeline=[
                dict(type='mmclip.CLIPRandomCrop', size=4, flip_prob=0.5),
                dict(type='mmclip.PackCLIPInputs', meta_keys=('text',)),
            ],
        ),
    )
    built = Runner.build_dataloader(config, seed=0)
    epochs = []
    for epoch in range(2):
        built.sampler.set_epoch(epoch)
        batches = list(built)
        assert len(batches) == len(built) == 4
        assert all(x.shape == (3, 4, 4) and x.dtype == torch.uint8 for x in batches[0]['inputs'])
        epochs.append([s.text for batch in batches for s in batch['data_samples']])
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(f'number {n}' for n in range(TOTAL))


def test_reads_miniworlds_shards(tmp_path):
    from mmclip.datasets.mini_world.make import make

    make(tmp_path, parts=['captions'], scale=0.02, report=lambda line: None)
    index = json.loads((tmp_path / 'captions/index.json').read_text())
    shards = [os.fspath(tmp_path / 'captions' / name) for name in index['shards']]
    data = DATASETS.build(
        dict(type='mmclip.CaptionShards', shards=shards, epoch_size=index['samples'])
    )
    texts = [data[i]['text'] for i in range(index['samples'])]
    assert len(set(texts)) == index['samples']  # each thing once in so small a world
