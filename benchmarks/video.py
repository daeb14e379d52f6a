"""What CLIP4Clip's evaluation and ActionCLIP's inference save.

    python benchmarks/video.py [--parts loose tight action] [--runs 3] [--videos 1000] [--pairs 100]
                               [--frames 12] [--model mini_clip] [--classes 400] [--device cpu]
                               [--clock wall]

Paired and interleaved, medians; random weights; features of 512, four blocks of eight heads (those
of ViT-B). The baselines are written here as the official code and MMAction2's port work, and must
give the same ranks and scores.

1. ``loose``: ranks of N texts and N videos from their features, against a loop over all pairs of a
   batch of texts and a batch of videos (16 each, the official ``batch_size_val``) that pools and
   normalizes the videos again in every step, for seqTransf with its transformer, as officially.
2. ``tight``: a matrix of pairs by ``pair_scores`` against the same loop, which runs every pair
   whole: at full length, and with videos of 1 to T frames, of which the loop runs the padding.
3. ``action``: scores of one clip among K classes in 16 prompts, the sentences encoded once, against
   encoding all of them in each call. The first call, which encodes them, is told too.

Acceptance: at least 10x (loose), 1.2x (tight at full length), 5x (action) less time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.evaluation.video_ranks import MatrixScores, VectorScores, text_ranks, video_ranks
from mmclip.registry import MODELS

BATCH = 16
DIM = 512
CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)
CLOCK = [CLOCKS['wall']]


def paired(
    first: Callable[[], object], second: Callable[[], object], runs: int
) -> tuple[float, float, float]:
    """Median seconds of both, run in turns, and the median of first / second.

    Both have been called before: their results were compared.
    """

    def timed(function: Callable[[], object]) -> float:
        start = CLOCK[0]()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return CLOCK[0]() - start

    pairs = [(timed(first), timed(second)) for _ in range(runs)]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a, b, statistics.median(x / y for x, y in pairs)


def line(name: str, slow: float, fast: float, ratio: float, bound: float | None) -> None:
    limit = '' if bound is None else f'  (at least {bound}x: {"ok" if ratio >= bound else "FAIL"})'
    print(f'{name:<48} {slow:>9.3f} s  {fast:>8.3f} s  {ratio:>7.1f}x{limit}', flush=True)


def batch_loop(
    score: Callable[..., torch.Tensor],
    texts: torch.Tensor,
    frames: torch.Tensor,
    mask: torch.Tensor,
) -> np.ndarray:
    """The official ``_run_on_single_gpu``: a call of ``score`` per pair of batches."""
    rows = []
    for some in texts.split(BATCH):
        row = [
            score(some, part, real).cpu().numpy()
            for part, real in zip(frames.split(BATCH), mask.split(BATCH), strict=True)
        ]
        rows.append(np.concatenate(row, axis=-1))
    return np.concatenate(rows)


def features(count: int, frames: int, device: str, lengths: torch.Tensor | None = None) -> tuple:
    """Features of N texts and videos that belong together, and the mask."""
    generator = torch.Generator().manual_seed(0)
    videos = torch.randn(count, frames, DIM, generator=generator)
    texts = videos.mean(1) + 0.4 * torch.randn(count, DIM, generator=generator)
    lengths = torch.full((count,), frames) if lengths is None else lengths
    mask = torch.arange(frames) < lengths[:, None]
    return texts.to(device), (videos * mask[..., None]).to(device), mask.to(device)


def build(kind: str, device: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(type=f'mmclip.{kind}', embed_dim=DIM)).to(device).eval()


def looped_ranks(head: nn.Module, data: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    """Ranks both ways, the videos pooled again for every batch of texts."""

    def score(texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return 100 * F.normalize(texts, dim=-1) @ head(frames, mask).T

    owner = torch.arange(len(data[0]), device=data[0].device)
    scores = MatrixScores(torch.from_numpy(batch_loop(score, *data)).to(owner.device))
    return text_ranks(scores, owner), video_ranks(scores, owner)


def product_ranks(head: nn.Module, data: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from a vector per video."""
    texts, frames, mask = data
    parts = zip(frames.split(256), mask.split(256), strict=True)
    vectors = torch.cat([head(*part) for part in parts])
    owner = torch.arange(len(texts), device=texts.device)
    scores = VectorScores(F.normalize(texts, dim=-1), vectors, mask.any(1))
    return text_ranks(scores, owner), video_ranks(scores, owner)


@torch.no_grad()
def loose(options: argparse.Namespace) -> bool:
    fine = True
    for kind, count in (('MeanPHead', options.videos), ('SeqTransfHead', options.sequences)):
        head = build(kind, options.device)
        data = features(count, options.frames, options.device)
        for ours, theirs in zip(product_ranks(head, data), looped_ranks(head, data), strict=True):
            # Scores that differ by rounding alone may change places.
            assert (ours != theirs).float().mean() < 0.01, 'other ranks than the loop'
        result = paired(
            partial(looped_ranks, head, data), partial(product_ranks, head, data), options.runs
        )
        line(f'loose, {kind}, {count} x {count}, {options.frames} frames', *result, 10)
        fine &= result[2] >= 10
    return fine


@torch.no_grad()
def tight(options: argparse.Namespace) -> bool:
    head = build('TightTransfHead', options.device)
    fine = True
    generator = torch.Generator().manual_seed(1)
    short = torch.randint(1, options.frames + 1, (max(1, options.pairs // 2),), generator=generator)
    for name, lengths, bound in (('full length', None, 1.2), ('1 frame to all', short, None)):
        count = options.pairs if lengths is None else len(lengths)
        data = features(count, options.frames, options.device, lengths)
        slow, fast = batch_loop(head.all_pairs, *data), head(*data).cpu().numpy()
        np.testing.assert_allclose(fast, slow, atol=1e-4, rtol=1e-4)
        result = paired(
            partial(batch_loop, head.all_pairs, *data), partial(head, *data), options.runs
        )
        size = f'{count} x {count}, {options.frames} frames'
        line(f'tight, {size}, {name}', *result, bound)
        fine &= bound is None or result[2] >= bound
    return fine


@torch.no_grad()
def action(options: argparse.Namespace) -> bool:
    names = [f'action number {i}' for i in range(options.classes)]
    torch.manual_seed(0)
    config = dict(
        type='mmclip.ActionCLIPRecognizer', model=options.model, num_frames=8, classes=names
    )
    model = MODELS.build(config).to(options.device).eval()
    model.init_weights()
    size = 48 if options.model == 'mini_clip' else 224
    frames = torch.randn(1, 8, 3, size, size, device=options.device)
    ids = model.token_ids()

    def port() -> torch.Tensor:
        """MMAction2's: all sentences, at their full length, in each call."""
        parts = [model.text.tower(part.to(options.device)) for part in ids.flatten(0, 1).split(512)]
        texts = F.normalize(torch.cat(parts), dim=-1).unflatten(0, ids.shape[:2])
        videos = F.normalize(model.video(frames), dim=-1)
        return (100 * torch.einsum('bd,pkd->bpk', videos, texts)).softmax(-1).mean(1)

    start = time.perf_counter()
    ours = model.scores(frames)
    first = time.perf_counter() - start
    torch.testing.assert_close(ours, port(), atol=1e-4, rtol=1e-3)
    result = paired(port, lambda: model.scores(frames), options.runs)
    count = ids.shape[0]
    line(f'action, {options.model}, {options.classes} x {count}', *result, 5)
    print(f'    the first call, which encodes the sentences: {first:.3f} s')
    return result[2] >= 5


PARTS = dict(loose=loose, tight=tight, action=action)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    add('--runs', type=int, default=3)
    add('--videos', type=int, default=1000, help='texts and videos of the loose heads')
    add(
        '--sequences',
        type=int,
        default=200,
        help='of them for seqTransf, which the loop takes minutes for',
    )
    add('--pairs', type=int, default=100, help='texts and videos of the tight head')
    add('--frames', type=int, default=12)
    add('--model', default='mini_clip', help="ActionCLIP's towers, e.g. ViT-B-32-quickgelu")
    add('--classes', type=int, default=400)
    add('--device', default='cpu')
    add('--clock', choices=list(CLOCKS), default='wall', help='cpu: on a machine that others use')
    options = parser.parse_args()
    CLOCK[0] = CLOCKS[options.clock]
    print(f'{"":<48} {"baseline":>11}  {"ours":>10}  {"ratio":>8}')
    fine = [PARTS[name](options) for name in options.parts]
    return 0 if all(fine) else 1


if __name__ == '__main__':
    sys.exit(main())
