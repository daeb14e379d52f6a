import math
import sys

import pytest
import torch
import torch.distributed as dist
from forked import run_ranks

from mmclip.evaluation import video_ranks
from mmclip.evaluation.video_ranks import (
    MatrixScores,
    VectorScores,
    rank_summary,
    text_ranks,
)
from mmclip.registry import METRICS, MODELS


def metric(**kwargs):
    return METRICS.build(dict(type='mmclip.VideoRetrieval', **kwargs))


def run(videos, texts, frames=None, **kwargs):
    """Metrics of videos, each with its texts; ``frames`` tells how many a video has."""
    judge = metric(**kwargs)
    samples = []
    for i, (video, own) in enumerate(zip(videos, texts, strict=True)):
        sample = dict(video_feature=torch.tensor(video), text_features=torch.tensor(own))
        if frames is not None:
            sample['num_frames'] = frames[i]
        samples.append(sample)
    judge.process({}, samples)
    return judge.evaluate(len(samples))


X, Y, Z = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]


def test_ranks_both_ways_by_hand():
    # The text of the first video looks like the second, the others are right.
    found = run([X, Y, Z], [[[0.6, 0.8, 0]], [Y], [Z]], topk=(1, 2))
    assert found['retrieval/t2v_R@1'] == pytest.approx(200 / 3)
    assert found['retrieval/t2v_R@2'] == 100
    assert (found['retrieval/t2v_MdR'], found['retrieval/t2v_MnR']) == (1, pytest.approx(4 / 3))
    assert found['retrieval/v2t_R@1'] == 100  # each video still likes its own best
    assert set(found) == {
        f'retrieval/{way}_{name}' for way in ('t2v', 'v2t') for name in ('R@1', 'R@2', 'MdR', 'MnR')
    }


def test_several_texts_count_by_the_best_and_each_looks_by_itself():
    found = run([X, Y], [[[0, 1.0, 0], [0.9, 0.1, 0]], [Y]], topk=(1,))
    assert found['retrieval/t2v_R@1'] == pytest.approx(200 / 3)  # the first text is wrong
    assert found['retrieval/v2t_R@1'] == 50  # a text of the first video is as good for the second
    assert found['retrieval/t2v_MdR'] == 1
    lower = run([X, Y], [[[0, 1.0, 0], X], [X, Y]], topk=(1,), lower_median=True)
    usual = run([X, Y], [[[0, 1.0, 0], X], [X, Y]], topk=(1,))
    assert (lower['retrieval/t2v_MdR'], usual['retrieval/t2v_MdR']) == (1, 1.5)


def test_ties_count_against_the_query():
    found = run([X, X, X], [[X], [X], [X]], topk=(1, 2, 3))
    for way in ('t2v', 'v2t'):
        assert [found[f'retrieval/{way}_R@{k}'] for k in (1, 2, 3)] == [0, 0, 100]
        assert found[f'retrieval/{way}_MnR'] == 3


def test_a_video_without_a_frame_is_last_and_no_number_is_no_help():
    nothing = [0.0, 0, 0]
    found = run([X, nothing, Z], [[X], [Y], [[-1.0, -1, 0.1]]], frames=[2, 0, 2], topk=(1, 2))
    assert found['retrieval/t2v_R@1'] == pytest.approx(200 / 3)
    assert found['retrieval/t2v_MnR'] == pytest.approx((1 + 3 + 1) / 3)
    assert found['retrieval/v2t_MnR'] == pytest.approx((1 + 3 + 1) / 3)
    scores = MatrixScores(torch.tensor([[math.nan, 0.0], [0.0, math.nan]]))
    assert text_ranks(scores, torch.arange(2)).tolist() == [1, 1]
    assert video_ranks.video_ranks(scores, torch.arange(2)).tolist() == [1, 1]


def test_a_video_that_nobody_describes_is_there_to_be_confused_with():
    found = run([X, Y], [[[0.6, 0.8, 0]], torch.zeros(0, 3).tolist()], topk=(1,))
    assert found['retrieval/t2v_R@1'] == 0
    assert found['retrieval/v2t_R@1'] == 100


def test_no_videos_and_bad_settings():
    assert all(math.isnan(value) for value in metric().compute_metrics([]).values())
    assert math.isnan(rank_summary(torch.zeros(0, dtype=torch.long), (1,))['MdR'])
    for setting in (dict(topk=()), dict(topk=(0,)), dict(ways=()), dict(ways=('i2t',))):
        with pytest.raises(ValueError, match='topk|ways'):
            metric(**setting)
    assert set(metric(ways=('t2v',), topk=(1,)).compute_metrics([])) == {
        't2v_R@1', 't2v_MdR', 't2v_MnR',
    }  # fmt: skip


def test_blocks_of_any_size_give_the_same_ranks(monkeypatch):
    torch.manual_seed(0)
    counts = torch.tensor([2, 1, 3, 1, 2])
    owner = torch.arange(5).repeat_interleave(counts)
    texts = torch.nn.functional.normalize(torch.randn(9, 4), dim=1)
    videos = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    real = torch.tensor([True, True, False, True, True])
    whole = MatrixScores((texts @ videos.T).masked_fill(~real, -math.inf))
    expected = text_ranks(whole, owner), video_ranks.video_ranks(whole, owner)
    assert len(set(expected[0].tolist())) > 2
    monkeypatch.setattr(video_ranks, '_CELLS', 10)
    parts = VectorScores(texts, videos, real)
    assert text_ranks(parts, owner).tolist() == expected[0].tolist()
    assert video_ranks.video_ranks(parts, owner).tolist() == expected[1].tolist()


def test_pairs_are_scored_by_the_models_head():
    torch.manual_seed(0)
    head = dict(type='mmclip.TightTransfHead', layers=1, max_frames=8)
    config = dict(type='mmclip.CLIP4Clip', model='mini_clip', sim_head=head)
    model = MODELS.build(config).eval()
    texts, frames = torch.randn(3, 128), torch.randn(3, 5, 128)
    lengths = [5, 0, 2]
    judge = metric(topk=(1,))
    rows = [
        dict(text_features=texts[i : i + 1], frame_features=frames[i, :n], num_frames=n)
        for i, n in enumerate(lengths)
    ]
    judge.process({}, rows)
    with pytest.raises(ValueError, match='BindModelHook'):
        judge.evaluate(3)
    judge.bind(model)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        matrix = model.sim_head(texts, frames, mask)
    matrix[:, 1] = -math.inf
    expected = text_ranks(MatrixScores(matrix), torch.arange(3)).double()
    found = judge.evaluate(3)
    assert found['retrieval/t2v_MnR'] == pytest.approx(1 + float(expected.mean()))
    # A loose model lends nothing.
    judge.bind(MODELS.build(dict(type='mmclip.CLIP4Clip', model='mini_clip')))
    assert judge._score is None


def _results(kind):
    """Seven videos with one to three texts, vectors or frames of one to four."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for i in range(7):
        texts = torch.randn(1 + i % 3, 8, generator=generator)
        frames = torch.randn(1 + i % 4, 8, generator=generator)
        video = dict(video_feature=frames[0]) if kind == 'loose' else dict(frame_features=frames)
        rows.append(dict(text_features=texts, num_frames=len(frames), **video))
    return rows


def _judge(kind):
    judge = metric()
    if kind == 'tight':
        torch.manual_seed(1)
        head = dict(type='mmclip.TightTransfHead', layers=1, embed_dim=8)
        judge._score = MODELS.build(head).eval()
    return judge


def run_rank(rank: int, folder: str) -> None:
    """One of two processes; the sampler gives rank 1 a video again to make both equally long."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    found = {}
    for kind in ('loose', 'tight'):
        judge, rows = _judge(kind), _results(kind)
        judge.process({}, (rows + rows[:1])[rank::2])
        found[kind] = judge.evaluate(7)
    torch.save(found, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_end_with_the_metrics_of_one(tmp_path):
    run_ranks(__file__, tmp_path)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    for kind in ('loose', 'tight'):
        judge = _judge(kind)
        judge.process({}, _results(kind))
        expected = judge.evaluate(7)
        assert parts[0][kind] == parts[1][kind] == pytest.approx(expected)
        assert 1 < expected['retrieval/t2v_MnR'] < 7


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), sys.argv[2])
