"""What PointCLIP's projection and weight search save, in time and memory.

    python benchmarks/points.py [--parts projection search full cloud] [--runs 5] [--device cpu]
                                [--clock wall] [--combinations 64] [--varied 10]

Paired and interleaved, medians. The baselines are written here in the official formulation.

1. ``projection``: depth maps of 32 clouds of 1024 points in 10 views, of 128 pixels (zero-shot) and
   224 (few-shot), against the official formulas run plainly, one cloud and view at a time; told too
   is the same formulation on the whole batch at once, as the official code calls it. Equal to 1e-5.
2. ``search``: weights of 6 views on the first combinations of the official grid, 2468 clouds and
   40 classes, features of 512, against the official loop; the same weights and accuracy.
3. ``full``: all 4^10 combinations of 10 views, 2468 clouds, 40 classes: time and peak memory, the
   latter not depending on the number of combinations (``--varied`` takes fewer).
4. ``cloud``: one cloud of 10 million points in 10 views: time, and peak memory beyond the cloud.

Acceptance: at least 5x (projection in ten views of their own 224 pixels, one at a time) and 10x
(search) less time; at most 2 GB more memory (full, cloud).
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import Progress

from mmclip.models.point_clip.perspective import PerspectiveDepthProjector
from mmclip.models.point_clip.view_weights import (
    GRIDS,
    grid_of,
    scores_of_features,
    search_grid,
)

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)
CLOUDS, POINTS, SIDES, DISTANCE = 32, 1024, (128, 224), 1.4
SAMPLES, CLASSES, WIDTH = 2468, 40, 512
LIMIT = 2e9  # bytes


def paired(
    first: Callable[[], object], second: Callable[[], object], runs: int, clock: Callable
) -> tuple[float, float, float]:
    """Median seconds of both, run in turns, and the median of first / second."""

    def timed(function: Callable[[], object]) -> float:
        start = clock()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return clock() - start

    pairs = [(timed(first), timed(second)) for _ in range(runs)]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a, b, statistics.median(x / y for x, y in pairs)


def line(name: str, slow: float, fast: float, ratio: float, bound: float | None) -> bool:
    passed = bound is None or ratio >= bound
    limit = '' if bound is None else f'  (at least {bound}x: {"ok" if passed else "FAIL"})'
    print(f'{name:<52} {slow:>9.3f} s  {fast:>8.3f} s  {ratio:>7.1f}x{limit}', flush=True)
    return passed


def reset_peak(device: str) -> int:
    """Forget the peak so far, and tell the bytes that are held now."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path('/proc/self/clear_refs').write_text('5')
    return _of_process('VmRSS')


def peak_bytes(device: str) -> int:
    """The most that was held since: of the GPU, else of the process (Linux)."""
    return torch.cuda.max_memory_allocated() if device != 'cpu' else _of_process('VmHWM')


def _of_process(key: str) -> int:
    rows = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(row for row in rows if row.startswith(key)).split()[1])


def memory(name: str, seconds: float, more: int) -> bool:
    passed = more <= LIMIT
    verdict = 'ok' if passed else 'FAIL'
    print(f'{name:<52} {seconds:>9.1f} s  {more / 1e9:>8.2f} GB more  (at most 2: {verdict})')
    return passed


# -- projection -----------------------------------------------------------------------------------


def plain_maps(points: torch.Tensor, turns: torch.Tensor, side: int) -> torch.Tensor:
    """The official formulas for a splat of one pixel: (M, N, 3), (M, 3, 3) -> (M, S, S)."""
    seen = points @ turns.mT
    seen = seen + torch.tensor([0, 0, DISTANCE], device=points.device)
    depth = seen[..., 2]
    rows = ((seen[..., 0] / (depth + 1e-12) + 1) * side) / 2
    columns = ((seen[..., 1] / (depth + 1e-12) + 1) * side) / 2
    rows, columns = (
        (value[..., None] + torch.tensor([-0.5], device=points.device)).ceil()
        for value in (rows, columns)
    )
    depth = depth[..., None]
    inside = (rows >= 0) & (rows <= side - 1) & (columns >= 0) & (columns <= side - 1)
    weight = (inside & (depth >= 0)).float() * (1 / (depth + 1e-12))
    cells = ((rows % side) * side + columns % side).long().flatten(1)
    empty = torch.zeros(len(points), side * side, device=points.device)
    weights = empty.scatter_add(1, cells, weight.flatten(1))
    weights = weights + (weights == 0).float()
    values = empty.scatter_add(1, cells, (depth * weight).flatten(1))
    return (values / weights).reshape(-1, side, side)


def projection(options: argparse.Namespace) -> bool:
    torch.manual_seed(0)
    points = F.normalize(torch.randn(CLOUDS, POINTS, 3), dim=-1) * torch.rand(CLOUDS, POINTS, 1)
    passed = [_projection(options, points.to(options.device), side) for side in SIDES]
    return all(passed)  # after all have run


def _projection(options: argparse.Namespace, points: torch.Tensor, side: int) -> bool:
    projector = PerspectiveDepthProjector(
        views='few_shot10', resolution=side, distance=DISTANCE, image_size=None
    ).to(options.device)
    turns, views = projector.rotations, projector.num_views

    def one_at_a_time() -> torch.Tensor:
        maps = [
            plain_maps(cloud[None], turns[view : view + 1], side)
            for cloud in points
            for view in range(views)
        ]
        return torch.cat(maps)

    def at_once() -> torch.Tensor:
        return plain_maps(points.repeat_interleave(views, 0), turns.repeat(CLOUDS, 1, 1), side)

    def ours() -> torch.Tensor:
        return projector.depth_maps(points).flatten(0, 1)

    passed = True
    for name, plain, bound in (
        ('one cloud and view at a time', one_at_a_time, 5 if side == SIDES[1] else None),
        ('the batch at once', at_once, None),
    ):
        error = float((plain() - ours()).abs().max())
        assert error <= 1e-5, f'{name}: {error}'
        measured = paired(plain, ours, options.runs, options.clock)
        passed &= line(f'projection, {side} px, {name}', *measured, bound)
    return passed


# -- search ---------------------------------------------------------------------------------------


def stored(views: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (N, V C) near those of their classes, text features, labels."""
    torch.manual_seed(1)
    texts = F.normalize(torch.randn(CLASSES, WIDTH), dim=1)
    labels = torch.randint(CLASSES, (SAMPLES,))
    noise = torch.randn(SAMPLES, views, WIDTH) * torch.linspace(0.3, 1.5, views)[:, None]
    features = F.normalize(texts[labels][:, None] + noise, dim=-1).flatten(1)
    return features.to(device), texts.to(device), labels.to(device)


def loop(
    features: torch.Tensor, texts: torch.Tensor, labels: torch.Tensor, combinations: list
) -> tuple[tuple[float, ...], float]:
    """The official loop: weighs features, multiplies by the repeated texts, takes the top 5."""
    views = len(combinations[0])
    repeated = F.normalize(texts.repeat(1, views), dim=1)
    best, weights = 0.0, ()
    for combination in combinations:
        row = torch.tensor(combination, device=features.device)
        weighted = features.reshape(-1, views, WIDTH) * row.reshape(1, -1, 1)
        logits = 100.0 * weighted.reshape(-1, views * WIDTH) @ repeated.T
        named = logits.topk(5, 1, True, True)[1].T
        right = named.eq(labels[None].expand_as(named))
        accuracy = float(right[:1].reshape(-1).float().sum()) / len(features) * 100
        if accuracy > best:
            best, weights = accuracy, combination
    return weights, best


def search(options: argparse.Namespace) -> bool:
    views = 6
    features, texts, labels = stored(views, options.device)
    # The last views alone vary in the first combinations of the official order.
    varied, count = 0, 1
    while count < options.combinations and varied < views:
        varied, count = varied + 1, count * 4
    rows = [[0.25]] * (views - varied) + [list(GRIDS['official'])] * varied
    combinations = list(itertools.product(*rows))

    def official() -> tuple:
        return loop(features, texts, labels, combinations)

    def ours() -> tuple:
        scores = scores_of_features(features, texts, num_views=views, logit_scale=100.0)
        found = search_grid(scores, labels, choices=rows)
        return found.weights, found.accuracy

    (weights, accuracy), (our_weights, our_accuracy) = official(), ours()
    assert weights == our_weights, (weights, our_weights)
    assert abs(accuracy - our_accuracy) < 1e-9
    name = f'search, {len(combinations)} of 4^6 combinations'
    return line(name, *paired(official, ours, min(3, options.runs), options.clock), 10)


def full(options: argparse.Namespace) -> bool:
    views = 10
    features, texts, labels = stored(views, options.device)
    scores = scores_of_features(features, texts, num_views=views, logit_scale=100.0)
    # Blur them, so that few clouds are named right by all weights or by none.
    scores = scores + 3 * torch.randn(scores.shape).to(scores)
    del features
    rows = grid_of('official', views)
    rows[: views - options.varied] = [[1.0]] * (views - options.varied)
    before, start = reset_peak(options.device), options.clock()
    with Progress() as progress:
        bar = progress.add_task('view weights', total=4**options.varied)
        search_grid(
            scores,
            labels,
            choices=rows,
            progress=lambda done, _: progress.update(bar, completed=done),
        )
    seconds = options.clock() - start
    return memory(
        f'search, all 4^{options.varied} combinations of 10 views',
        seconds,
        peak_bytes(options.device) - before,
    )


def cloud(options: argparse.Namespace) -> bool:
    points = torch.rand(1, 10_000_000, 3).sub_(0.5).to(options.device)
    projector = PerspectiveDepthProjector(views='few_shot10', resolution=SIDES[1], image_size=None)
    before, start = reset_peak(options.device), options.clock()
    maps = projector.to(options.device).depth_maps(points)
    seconds = options.clock() - start
    assert bool((maps > 0).any())
    return memory('a cloud of 10 million points', seconds, peak_bytes(options.device) - before)


PARTS = dict(projection=projection, search=search, cloud=cloud, full=full)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--clock', choices=CLOCKS, default='wall')
    parser.add_argument('--combinations', type=int, default=64)
    parser.add_argument('--varied', type=int, default=10, help='views that vary in full')
    options = parser.parse_args()
    options.clock = CLOCKS[options.clock]
    with torch.no_grad():
        passed = [PARTS[part](options) for part in options.parts]
    return 0 if all(passed) else 1


if __name__ == '__main__':
    sys.exit(main())
