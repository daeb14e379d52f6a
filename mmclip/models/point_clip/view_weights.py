"""Search for weights of the views: pure functions over stored scores.

``scores`` (N, V, K) are those of N clouds in V views for K classes; the class of a cloud under
weights w is the first with the largest sum_v w_v scores_v. What is searched on the test labels, as
the official code does, flatters: search on a validation split and say which.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from mmclip.io.checkpoint import read_checkpoint

# A grid by name. 'official' cannot drop a view, 'drop' can.
GRIDS: dict[str, tuple[float, ...]] = {
    'official': (0.25, 0.5, 0.75, 1.0),
    'drop': (0.0, 0.25, 0.5, 1.0),
}
_REPORT_EVERY = 4096  # combinations between two looks at what was found
_CPU_LOGITS, _GPU_LOGITS = 2**20, 2**27  # logits held at a time: a CPU's cache, a GPU's memory
_COMBINATIONS = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ViewWeightResult:
    """What a search found.

    Args:
        weights: V numbers.
        correct: Clouds that they name right.
        total: N.
        correct_uniform: Clouds that equal weights name right.
        combinations: Combinations that were tried.
        improvements: How often a combination was better than all before it.
    """

    weights: tuple[float, ...]
    correct: int
    total: int
    correct_uniform: int
    combinations: int
    improvements: int

    @property
    def accuracy(self) -> float:
        """Per cent; NaN without any cloud."""
        return 100 * self.correct / self.total if self.total else math.nan

    @property
    def accuracy_uniform(self) -> float:
        """Per cent under equal weights; NaN without any cloud."""
        return 100 * self.correct_uniform / self.total if self.total else math.nan


def grid_of(choices: str | Sequence[float] | Sequence[Sequence[float]], views: int) -> list[list]:
    """The weights that each of V views may have.

    Args:
        choices: A key of ``GRIDS``, numbers for every view, or V lists of numbers.
        views: V.

    Raises:
        ValueError: an unknown grid, no number, a negative or infinite one, not V lists.
    """
    if isinstance(choices, str):
        if choices not in GRIDS:
            raise ValueError(f'choices: unknown grid {choices!r}; there are {", ".join(GRIDS)}')
        choices = GRIDS[choices]
    choices = list(choices)
    nested = [list(row) if isinstance(row, list | tuple) else row for row in choices]
    rows = nested if any(isinstance(row, list) for row in nested) else [nested] * views
    if len(rows) != views or not all(isinstance(row, list) and row for row in rows):
        raise ValueError(f'choices: {choices!r:.80}; expected numbers, or {views} lists of them')
    bad = [w for row in rows for w in row if not (math.isfinite(w) and w >= 0)]
    if bad:
        raise ValueError(f'choices: {bad[0]!r} is no weight; allowed are finite numbers from 0 on')
    return rows


def official_grid(search_time: int, search_range: float) -> tuple[float, ...]:
    """range (i + 1) / time: the official code's steps."""
    return tuple((i + 1) * search_range / search_time for i in range(search_time))


def _check(scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    labels = labels.reshape(-1)
    if scores.ndim != 3 or len(scores) != len(labels):
        raise ValueError(
            f'scores, labels: shapes {tuple(scores.shape)} and {tuple(labels.shape)}; expected '
            '(N, V, K) and (N,)'
        )
    if len(labels) and not bool(((labels >= 0) & (labels < scores.shape[2])).all()):
        raise ValueError(f'labels: expected 0 to {scores.shape[2] - 1}, got {labels.max()}')
    wide = scores if scores.dtype == torch.float64 else scores.float()
    return wide, labels.to(scores.device).long()


class _Counter:
    """Counts right answers under many weights at a time.

    Clouds that no weights or all weights name right are counted once and left out, which is exact:
    a cloud whose true class is above (below) another one in every view is so in every sum.
    """

    def __init__(self, scores: torch.Tensor, labels: torch.Tensor) -> None:
        scores, labels = _check(scores, labels)
        classes = torch.arange(scores.shape[2], device=scores.device)
        own = scores.gather(2, labels[:, None, None].expand(-1, scores.shape[1], 1))  # (N, V, 1)
        other = classes != labels[:, None]
        # Of classes with the same scores in all views the first is named.
        hidden = ((scores == own).all(1) & (classes < labels[:, None])).any(1)
        never = hidden | ((scores > own).all(1) & other).any(1)
        always = ~never & ((scores < own).all(1) | ~other).all(1)
        open_ = ~(never | always)
        self.always = int(always.sum())
        self.labels = labels[open_]
        self.columns = scores[open_].permute(1, 2, 0).contiguous()  # (V, K, n)

    def __call__(self, weights: torch.Tensor) -> torch.Tensor:
        """(M, V) -> (M,) int64, on the scores' device."""
        views, classes, count = self.columns.shape
        weights = weights.to(self.columns)
        limit = _CPU_LOGITS if weights.device.type == 'cpu' else _GPU_LOGITS
        rows = max(1, min(_COMBINATIONS, limit // max(1, classes)))
        step = max(1, limit // (rows * max(1, classes)))
        blocks = [
            (self.columns[..., i : i + step].reshape(views, -1), self.labels[i : i + step])
            for i in range(0, count, step)
        ]
        counts = []
        for part in weights.split(rows):
            right = torch.full((len(part),), self.always, device=weights.device)
            for columns, labels in blocks:
                logits = (part @ columns).reshape(len(part), classes, len(labels))
                own = logits.gather(1, labels.expand(len(part), 1, -1))[:, 0]
                right += (own >= logits.amax(1)).sum(1)
            counts.append(right)
        return torch.cat(counts) if counts else torch.zeros(0, dtype=torch.int64)


def count_correct(
    scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Clouds that each of M combinations of weights names right.

    Shapes:
        scores (N, V, K), labels (N,), weights (M, V), not negative and no row of zeros ->
        (M,) int64.

    Raises:
        ValueError: other shapes, a label out of range.
    """
    return _Counter(scores, labels)(weights)


def _combinations(rows: list[list[float]]) -> Iterator[torch.Tensor]:
    """Chunks (m, V) of the product of the rows, the first view slowest."""
    product = itertools.product(*rows)
    while chunk := list(itertools.islice(product, _REPORT_EVERY)):
        yield torch.tensor(chunk)


def search_grid(
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    choices: str | Sequence[float] | Sequence[Sequence[float]] = 'official',
    progress: Progress | None = None,
) -> ViewWeightResult:
    """Try every combination of a grid; the first strictly better one wins.

    Source: official ``search_weights``: nested loops with the first view slowest. Where nothing is
    named right by any combination, all weights are 1. A combination of zeros only is left out.

    Args:
        scores: (N, V, K).
        labels: (N,) or (N, 1).
        choices: As :func:`grid_of`.
        progress: Called with the combinations done and their number.

    Raises:
        ValueError: bad shapes, labels or choices.
    """
    count = _Counter(scores, labels)
    rows = grid_of(choices, scores.shape[1])
    total = math.prod(map(len, rows))
    best, weights, improvements, done = 0, (1.0,) * scores.shape[1], 0, 0
    for chunk in _combinations(rows):
        right = count(chunk).cpu().masked_fill((chunk == 0).all(1), -1)
        before = torch.cat([torch.tensor([best]), right.cummax(0).values[:-1].clamp_min(best)])
        better = (right > before).nonzero()[:, 0]
        if len(better):
            improvements += len(better)
            best = int(right[better[-1]])
            weights = tuple(chunk[better[-1]].tolist())
        done += len(chunk)
        if progress is not None:
            progress(done, total)
    uniform = int(count(torch.ones(1, scores.shape[1])))
    return ViewWeightResult(weights, best, len(scores), uniform, done, improvements)


def search_coordinates(
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    choices: str | Sequence[float] | Sequence[Sequence[float]] = 'drop',
    starts: int = 8,
    seed: int = 0,
    max_rounds: int = 20,
) -> ViewWeightResult:
    """Coordinate ascent: change one view's weight at a time, from equal and from random weights.

    For more views than a full grid is worth: V choices per round and start instead of choices^V.

    Args:
        scores, labels, choices: As :func:`search_grid`.
        starts: Equal weights (the largest choice of each view) and ``starts - 1`` random ones.
        seed: Of the random starts.
        max_rounds: At most; it ends earlier when no start improves.

    Raises:
        ValueError: as :func:`search_grid`; no start.
    """
    if starts < 1:
        raise ValueError(f'starts: {starts}; allowed are 1 and more')
    count = _Counter(scores, labels)
    rows = grid_of(choices, scores.shape[1])
    generator = torch.Generator().manual_seed(seed)
    columns = [
        torch.tensor([max(row), *(row[i] for i in picks)])
        for row in rows
        for picks in [torch.randint(len(row), (starts - 1,), generator=generator).tolist()]
    ]
    weights = torch.stack(columns, 1)  # (S, V)
    weights[(weights == 0).all(1)] = torch.tensor([max(row) for row in rows])
    right = count(weights).cpu()
    tried, improvements = len(weights), 0
    for _ in range(max_rounds):
        before = right.clone()
        for view, row in enumerate(rows):
            trial = weights.repeat_interleave(len(row), 0)
            trial[:, view] = torch.tensor(row).repeat(starts)
            found = count(trial).cpu().masked_fill((trial == 0).all(1), -1)
            best, place = found.reshape(starts, -1).max(1)
            better = best > right
            chosen = trial.reshape(starts, len(row), -1)[torch.arange(starts), place]
            weights = torch.where(better[:, None], chosen, weights)
            right = torch.where(better, best, right)
            tried += len(trial)
            improvements += int(better.sum())
        if torch.equal(before, right):
            break
    first = int(right.argmax())
    uniform = int(count(torch.ones(1, scores.shape[1])))
    return ViewWeightResult(
        tuple(weights[first].tolist()), int(right[first]), len(scores), uniform, tried, improvements
    )


def scores_of_features(
    features: torch.Tensor, text_features: torch.Tensor, *, num_views: int, logit_scale: float
) -> torch.Tensor:
    """Scores per view of stored features.

    logits_v = logit_scale <f_v, t> / sqrt(V), t the L2-normalized text feature: officially text
    features are repeated V times and normalized then. The features are taken as they are.

    Shapes:
        features (N, V C), text_features (K, C) -> (N, V, K).

    Raises:
        ValueError: widths that do not fit.
    """
    width = text_features.shape[1]
    if features.shape[1] != num_views * width:
        raise ValueError(
            f'features: {features.shape[1]} channels; expected {num_views} views x {width}'
        )
    texts = F.normalize(text_features.to(features), dim=1) / math.sqrt(num_views)
    return logit_scale * features.reshape(len(features), num_views, width) @ texts.T


def read_stored(features: str | Path, labels: str | Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The official ``features.pt`` and ``labels.pt``: (N, V C) float32 and (N,) int64.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.checkpoint.read_checkpoint`; also if
            they hold no such tensors.
    """
    values = []
    for path, dims in ((features, (2,)), (labels, (1, 2))):
        value = read_checkpoint(path)
        if not isinstance(value, torch.Tensor) or value.ndim not in dims:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f'{path}: expected a tensor of {dims} dimensions, got {shape}')
        values.append(value)
    stored, truth = values[0].float(), values[1].reshape(-1).long()
    if len(stored) != len(truth):
        raise ValueError(f'{labels}: {len(truth)} labels for {len(stored)} features of {features}')
    return stored, truth
