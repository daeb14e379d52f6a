"""Vectors of videos on disk and search in them: exactness, stops, processes, bad input."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mmclip.apis.video_search import VideoSearcher, list_videos
from mmclip.cli import features, search
from mmclip.datasets.mini_world import make
from mmclip.models.clip4clip.search import (
    build_index,
    exact_search,
    index_search,
    load_index,
)
from mmclip.stores.sharded import fingerprint
from mmclip.stores.video_features import (
    FeatureStore,
    fill_store,
    missing_shards,
    open_store,
    shard_path,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'clip4clip/mini/clip4clip_meanp_mini.py'


def tool(name):
    modules = dict(extract_video_features=features, search_videos=search)
    return modules[name]


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    """A folder with seven clips, and one that cannot be read."""
    folder = tmp_path_factory.mktemp('world')
    make.make(folder, parts=['video'], scale=0.001, processes=1, report=lambda line: None)
    clips = sorted((folder / 'video' / 'clips').glob('*.mp4'))
    out = folder / 'some'
    out.mkdir()
    for clip in clips[:7]:
        clip.rename(out / clip.name)
    (out / 'broken.mp4').write_bytes(b'nothing')
    return out


@pytest.fixture(scope='module')
def store(videos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('stores') / 'one'
    arguments = [CONFIG, 'none', '--videos', str(videos), '--out', str(out)]
    tool('extract_video_features').main([*arguments, '--videos-per-shard', '3', '--workers', '0'])
    return out


def vectors_of(folder):
    parts = list(FeatureStore(folder).blocks())
    return torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])


def test_vectors_are_the_models_and_a_broken_video_has_none(store, videos, capsys):
    found, readable = vectors_of(store)
    names = FeatureStore(store).names
    assert names == list_videos(videos) and len(names) == 8
    assert readable.tolist() == [not name.endswith('broken.mp4') for name in names]
    searcher = VideoSearcher(CONFIG)
    own, frames = searcher.videos([n for n in names if 'broken' not in n], batch=3)
    torch.testing.assert_close(found[readable], own, atol=1e-5, rtol=1e-5)
    assert frames.tolist() == [8] * 7
    torch.testing.assert_close(own.norm(dim=1), torch.ones(7))
    with pytest.raises(ValueError, match=r'broken\.mp4'):
        searcher.videos(names, strict=True)


def test_a_run_goes_on_and_any_number_of_processes_make_the_same(
    store, videos, tmp_path, monkeypatch
):
    extract = tool('extract_video_features')
    out = tmp_path / 'two'
    arguments = [CONFIG, 'none', '--videos', str(videos), '--out', str(out)]
    arguments += ['--videos-per-shard', '3', '--workers', '0']
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    extract.main(arguments)
    meta = json.loads((out / 'meta.json').read_text())
    assert missing_shards(out, meta) == [0, 2]
    with pytest.raises(FileNotFoundError, match='lacks 2 of 3 shards'):
        FeatureStore(out)
    made = shard_path(out, 1, 3).stat().st_mtime_ns
    monkeypatch.setenv('WORLD_SIZE', '1')
    monkeypatch.setenv('RANK', '0')
    extract.main(arguments)
    assert shard_path(out, 1, 3).stat().st_mtime_ns == made
    for number in range(3):
        assert shard_path(out, number, 3).read_bytes() == shard_path(store, number, 3).read_bytes()
    assert not list(out.glob('.*'))


def test_other_videos_or_weights_are_another_store(store, videos, tmp_path):
    extract = tool('extract_video_features')
    one = str(next(videos.glob('video*.mp4')))
    with pytest.raises(ValueError, match='a store of other .*names'):
        extract.main([CONFIG, 'none', '--videos', one, '--out', str(store)])
    config = tmp_path / 'random.py'
    config.write_text(f"_base_ = 'mmclip::{CONFIG}'\nmodel = dict(pretrained=None)\n")
    with pytest.raises(ValueError, match='other weights'):
        tool('search_videos').main([str(store), str(config), 'none', '--text', 'a star'])
    tight = 'clip4clip/mini/clip4clip_tighttransf_mini.py'
    with pytest.raises(ValueError, match='no vectors of videos'):
        extract.main([tight, 'none', '--videos', one, '--out', str(tmp_path / 'tight')])


def test_a_head_of_the_same_weights_is_another_store(store, videos, tmp_path):
    config = tmp_path / 'port.py'
    head = "dict(type='mmclip.MeanPHead', normalize_frames=False)"
    config.write_text(f"_base_ = 'mmclip::{CONFIG}'\nmodel = dict(sim_head={head})\n")
    with pytest.raises(ValueError, match=r'a store of other model\.head\.normalize_frames;'):
        tool('extract_video_features').main(
            [str(config), 'none', '--videos', str(videos), '--out', str(store),
             '--videos-per-shard', '3']
        )  # fmt: skip
    with pytest.raises(ValueError, match='with other model than'):
        tool('search_videos').main([str(store), str(config), 'none', '--text', 'a star'])


def test_search_by_words_and_by_a_video(store, videos, tmp_path, capsys):
    search = tool('search_videos')
    base = [str(store), CONFIG, 'none', '--topk', '3', '--rows', '2']
    clip = str(sorted(videos.glob('video*.mp4'))[4])
    found = search.main([*base, '--video', clip])
    assert found[0]['videos'][0]['video'] == clip
    assert found[0]['videos'][0]['score'] == pytest.approx(1, abs=1e-5)
    texts = ['a star', 'a ring is growing']
    (tmp_path / 'q.txt').write_text('\n'.join(texts))
    search.main([*base, '--text-file', str(tmp_path / 'q.txt'), '--out', str(tmp_path / 'o.jsonl')])
    rows = [json.loads(line) for line in (tmp_path / 'o.jsonl').read_text().splitlines()]
    assert [row['query'] for row in rows] == texts
    vectors, readable = vectors_of(store)
    expected = VideoSearcher(CONFIG).texts(texts) @ vectors.T
    expected = expected.masked_fill(~readable, -2).topk(3)
    names = FeatureStore(store).names
    assert [[hit['video'] for hit in row['videos']] for row in rows] == [
        [names[i] for i in row] for row in expected.indices.tolist()
    ]
    for bad in (['--text-file', str(tmp_path / 'no.txt')], ['--video', str(tmp_path / 'no.mp4')]):
        with pytest.raises(FileNotFoundError, match='does not exist'):
            search.main([*base, *bad])


# -- the store and the search by themselves --------------------------------------------------------


@pytest.fixture(scope='module')
def many(tmp_path_factory) -> tuple[Path, torch.Tensor]:
    """A store of 1000 random vectors in shards of 300, every tenth without frames."""
    folder = tmp_path_factory.mktemp('many') / 'store'
    vectors = F.normalize(torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors[500] = vectors[499]  # a tie
    frames = torch.ones(1000)
    frames[::10] = 0
    frames[500] = 1
    meta = dict(weights='x', embed_dim=8, dtype='float32')
    meta = open_store(folder, [f'v{i}' for i in range(1000)], meta, per_shard=300)
    fill_store(folder, meta, lambda start, stop: (vectors[start:stop], frames[start:stop]))
    return folder, vectors.masked_fill(frames[:, None] == 0, 0), frames > 0


@pytest.mark.parametrize('rows', [7, 300, 100_000])
def test_exact_search_in_blocks_is_one_matrix_product(many, rows):
    folder, vectors, readable = many
    queries = F.normalize(torch.randn(300, 8), dim=1)
    queries[0] = vectors[499]
    scores = (queries @ vectors.T).masked_fill(~readable, -2)
    expected = scores.sort(dim=1, descending=True, stable=True)
    found, places = exact_search(FeatureStore(folder), queries, 5, rows=rows)
    torch.testing.assert_close(found, expected.values[:, :5])
    assert torch.equal(places[1:], expected.indices[1:, :5])
    assert places[0, :2].tolist() == [499, 500]  # of equal ones the first
    everything, places = exact_search(FeatureStore(folder), queries[:2], 2000, rows=rows)
    assert everything.shape == (2, int(readable.sum()))
    assert exact_search(FeatureStore(folder), queries[:0], 5)[0].shape[0] == 0


@pytest.mark.parametrize('width', [8, 512])
def test_of_equal_vectors_the_first_whatever_the_blocks(tmp_path, width):
    generator = torch.Generator().manual_seed(1)
    one, other, *queries = F.normalize(torch.randn(5, width, generator=generator), dim=1)
    vectors = torch.stack([other, other, *[one] * 998])
    meta = dict(weights='x', embed_dim=width, dtype='float32')
    meta = open_store(tmp_path, [f'v{i}' for i in range(1000)], meta, per_shard=600)
    fill_store(tmp_path, meta, lambda start, stop: (vectors[start:stop], torch.ones(stop - start)))
    store = FeatureStore(tmp_path)
    for query in queries:
        query = query if query @ one > query @ other else -query
        for rows in (1, 50, 512, 100_000):
            scores, places = exact_search(store, query[None].repeat(3, 1), 5, rows=rows)
            assert places.tolist() == [[2, 3, 4, 5, 6]] * 3
            assert len(scores.unique()) == 1
        places = exact_search(store, -query[None], 4, rows=50)[1]
        assert places.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize('factory', ['PCA4,IVF16,Flat', 'IVF16,Flat,RFlat', 'IDMap2,IVF16,Flat'])
def test_cells_are_found_below_other_parts_of_an_index(many, factory):
    faiss = pytest.importorskip('faiss')
    store = FeatureStore(many[0])
    index = build_index(store, factory)
    queries = F.normalize(torch.randn(50, 8), dim=1)
    few, some = (index_search(index, queries, 5, probes=n)[0] for n in (1, 16))
    assert faiss.try_extract_index_ivf(index).nprobe == 16
    assert (few < some - 1e-6).any()
    index_search(index, queries, 5)
    assert faiss.try_extract_index_ivf(index).nprobe == 32


def test_cells_are_trained_on_the_whole_store(tmp_path):
    pytest.importorskip('faiss')
    # Sorted, as by path: the head of the store is of one kind.
    vectors = F.normalize(torch.eye(8)[torch.arange(800) // 100] + 0.01 * torch.randn(800, 8))
    meta = dict(weights='x', embed_dim=8, dtype='float32')
    meta = open_store(tmp_path, [f'v{i}' for i in range(800)], meta, per_shard=100)
    fill_store(tmp_path, meta, lambda start, stop: (vectors[start:stop], torch.ones(stop - start)))
    index = build_index(FeatureStore(tmp_path), 'IVF8,Flat', train=400)
    centers = torch.from_numpy(index.quantizer.reconstruct_n(0, 8))
    assert (centers.max(0).values > 0.5).all()  # of every kind one, those at the end too


def test_search_by_faiss(many):
    pytest.importorskip('faiss')
    folder, vectors, readable = many
    store = FeatureStore(folder)
    queries = F.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(2)), dim=1)
    scores, places = exact_search(store, queries, 5)
    for index in (build_index(store), load_index(store, 'Flat'), load_index(store, 'Flat')):
        found, rows = index_search(index, queries, 5)
        torch.testing.assert_close(found, scores)
        assert torch.equal(vectors[rows], vectors[places])  # of equal ones faiss takes any
    cells = load_index(store, 'IVF16,Flat')
    rows = index_search(cells, queries, 5, probes=16)[1]
    assert torch.equal(vectors[rows], vectors[places])
    few = index_search(cells, queries, 5, probes=1)[1]
    assert (few == places).float().mean() > 0.2
    with pytest.raises(ValueError, match='topk: 0'):
        index_search(cells, queries, 0)
    with pytest.raises(ValueError, match='vectors of 8'):
        index_search(cells, queries[:, :4])
    for probes, message in ((4, 'no cells'), (0, 'probes: 0')):
        with pytest.raises(ValueError, match=message):
            index_search(build_index(store), queries, 5, probes=probes)
    with pytest.raises(ValueError, match='does not know'):
        build_index(store, 'Nonsense')
    with pytest.raises(ValueError, match='cannot be trained'):
        build_index(store, 'IVF2000,Flat')


def test_an_index_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    faiss = pytest.importorskip('faiss')
    meta = dict(weights='x', embed_dim=8, dtype='float32')
    meta = open_store(tmp_path, ['a', 'b'], meta, per_shard=2)
    fill_store(tmp_path, meta, lambda start, stop: (torch.eye(8)[:2], torch.ones(2)))
    store, written, write = FeatureStore(tmp_path), [], faiss.write_index

    def slow(index, path):
        written.append(path)
        Path(path).write_bytes(b'half')
        if len(written) == 1:  # another process begins, and ends, meanwhile
            monkeypatch.setattr('os.getpid', lambda: -1)
            load_index(store, 'Flat')
            monkeypatch.undo()
            monkeypatch.setattr(faiss, 'write_index', slow)
            assert Path(path).read_bytes() == b'half'
        write(index, path)

    monkeypatch.setattr(faiss, 'write_index', slow)
    load_index(store, 'Flat')
    assert len(set(written)) == 2
    monkeypatch.setattr(faiss, 'write_index', lambda index, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_index(store, 'HNSW4')
    assert load_index(store, 'Flat').ntotal == 2
    assert len(list(tmp_path.glob('*faiss*'))) == 1


def test_bad_stores_and_settings(many, tmp_path):
    folder, vectors, _ = many
    with pytest.raises(FileNotFoundError, match='extract_video_features'):
        FeatureStore(tmp_path)
    with pytest.raises(ValueError, match='topk: 0'):
        exact_search(FeatureStore(folder), vectors[:1], 0)
    with pytest.raises(ValueError, match='vectors of 8'):
        exact_search(FeatureStore(folder), vectors[:1, :4])
    with pytest.raises(ValueError, match='rows: 0'):
        exact_search(FeatureStore(folder), vectors[:1], rows=0)
    meta = dict(weights='x', embed_dim=8, dtype='float16')
    with pytest.raises(ValueError, match='there is none'):
        open_store(tmp_path / 'a', [], meta, per_shard=3)
    with pytest.raises(ValueError, match='line break'):
        open_store(tmp_path / 'a', ['a\nb'], meta, per_shard=3)
    with pytest.raises(ValueError, match='line break'):
        open_store(tmp_path / 'a', ['a\rb'], meta, per_shard=3)
    meta = open_store(tmp_path / 'b', ['a', 'b'], meta, per_shard=3)
    fill_store(tmp_path / 'b', meta, lambda start, stop: (torch.ones(2, 8), torch.ones(2)))
    assert next(FeatureStore(tmp_path / 'b').blocks())[1].dtype == torch.float32
    path = shard_path(tmp_path / 'b', 0, 1)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match='damaged'):
        list(FeatureStore(tmp_path / 'b').blocks())
    path.write_bytes(shard_path(folder, 0, 4).read_bytes())
    with pytest.raises(ValueError, match='another store'):
        list(FeatureStore(tmp_path / 'b').blocks())
    changed = json.loads((tmp_path / 'b' / 'meta.json').read_text())
    (tmp_path / 'b' / 'meta.json').write_text(json.dumps({**changed, 'embed_dim': 9}))
    with pytest.raises(ValueError, match='was changed'):
        FeatureStore(tmp_path / 'b')


def test_lists_of_videos(tmp_path):
    (tmp_path / 'a.txt').write_text('x.mp4\n\ny.avi\n')
    assert list_videos(tmp_path / 'a.txt') == ['x.mp4', 'y.avi']
    with pytest.raises(ValueError, match='holds none'):
        list_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        list_videos(tmp_path / 'nowhere')


def test_no_flipped_bit_of_a_store_gives_other_vectors(tmp_path):
    meta = dict(weights='x', embed_dim=8, dtype='float16')
    folder, vectors = tmp_path / 'a', torch.arange(24.0).reshape(3, 8)
    meta = open_store(folder, ['a', 'b', 'c'], meta, per_shard=3)
    fill_store(folder, meta, lambda start, stop: (vectors, torch.tensor([4, 0, 2])))

    def read():
        store = FeatureStore(folder)
        parts = list(store.blocks(rows=2))
        return store.names, torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])

    errors = 0
    for path in (shard_path(folder, 0, 1), folder / 'names.txt', folder / 'meta.json'):
        whole = path.read_bytes()
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)
            try:
                names, found, has_frames = read()
            except (ValueError, FileNotFoundError) as error:
                assert str(folder) in str(error)
                errors += 1
            else:
                assert names == ['a', 'b', 'c'] and torch.equal(found, vectors)
                assert has_frames.tolist() == [True, False, True]
        path.write_bytes(whole)
    assert errors > 150


@pytest.mark.parametrize('change', [dict(shards=10**9), dict(videos=1e9), dict(dtype='int8')])
def test_a_description_of_odd_numbers_is_refused_at_once(tmp_path, change):
    meta = open_store(tmp_path, ['a'], dict(embed_dim=8, dtype='float16'), per_shard=3) | change
    meta['fingerprint'] = fingerprint(meta)
    (tmp_path / 'meta.json').write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=r'meta\.json is damaged: shards, videos'):
        FeatureStore(tmp_path)
    (tmp_path / 'meta.json').write_text('[' * 100000)
    with pytest.raises(ValueError, match=r'meta\.json is damaged: is nested too deeply'):
        FeatureStore(tmp_path)
