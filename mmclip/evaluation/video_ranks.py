"""Ranks of texts and videos out of blocks of a score matrix, so that memory stays bounded."""

from collections.abc import Iterator
from typing import Protocol

import torch

_CELLS = 1 << 24  # scores at once: 64 MB


class Scores(Protocol):
    """An (A, B) matrix of scores of texts and videos that is read in blocks."""

    shape: tuple[int, int]

    def rows(self, start: int, stop: int) -> torch.Tensor: ...

    def columns(self, start: int, stop: int) -> torch.Tensor: ...


class VectorScores:
    """Scores of loose heads: texts (A, D) and videos (B, D), computed block by block.

    Args:
        texts, videos: L2-normalized.
        has_frames: (B,) bool; what has none scores minus infinity.
    """

    def __init__(self, texts: torch.Tensor, videos: torch.Tensor, has_frames: torch.Tensor) -> None:
        self.texts, self.videos, self.has_frames = texts, videos, has_frames
        self.shape = (len(texts), len(videos))

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """(stop - start, B)."""
        scores = self.texts[start:stop] @ self.videos.T
        return scores.masked_fill_(~self.has_frames, float('-inf'))

    def columns(self, start: int, stop: int) -> torch.Tensor:
        """(A, stop - start)."""
        scores = self.texts @ self.videos[start:stop].T
        return scores.masked_fill_(~self.has_frames[start:stop], float('-inf'))


class MatrixScores:
    """Scores that are there already.

    Args:
        matrix: (A, B).
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix
        self.shape = tuple(matrix.shape)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """(stop - start, B)."""
        return self.matrix[start:stop]

    def columns(self, start: int, stop: int) -> torch.Tensor:
        """(A, stop - start)."""
        return self.matrix[:, start:stop]


def _blocks(count: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, _CELLS // max(1, width))
    for start in range(0, count, step):
        yield start, min(count, start + step)


def text_ranks(scores: Scores, owner: torch.Tensor) -> torch.Tensor:
    """Rank, from 0, of each text's video among all videos.

    A video that scores as the right one counts as before it: ties never help, and neither does a
    score that is no number.

    Args:
        scores: Of A texts and B videos.
        owner: Which video each text is of.

    Shapes:
        owner (A,) int64 -> (A,) int64.
    """
    ranks = [torch.empty(0, dtype=torch.long, device=owner.device)]
    for start, stop in _blocks(scores.shape[0], scores.shape[1]):
        block = scores.rows(start, stop)
        right = block.gather(1, owner[start:stop, None])
        ranks.append((~(block < right)).sum(1) - 1)
    return torch.cat(ranks)


def group_scores(block: torch.Tensor, owner: torch.Tensor, groups: int) -> torch.Tensor:
    """The best score of each video's texts: (A, n) and (A,) -> (groups, n); -inf without a text."""
    best = block.new_full((groups, block.shape[1]), float('-inf'))
    return best.scatter_reduce_(0, owner[:, None].expand_as(block), block, 'amax')


def video_ranks(scores: Scores, owner: torch.Tensor) -> torch.Tensor:
    """Rank, from 0, of each video's texts among those of all videos; -1 of a video without a text.

    A video's texts count by the best of them. Ties as in :func:`text_ranks`.

    Source: official ``tensor_video_to_text_sim``, the protocol of MSVD; with a text per video it is
    the plain one.

    Shapes:
        owner (A,) int64 -> (B,) int64.
    """
    count = scores.shape[1]
    has_text = torch.bincount(owner, minlength=count) > 0
    ranks = [torch.empty(0, dtype=torch.long, device=owner.device)]
    for start, stop in _blocks(count, scores.shape[0]):
        best = group_scores(scores.columns(start, stop), owner, count)
        own = torch.arange(start, stop, device=owner.device)
        right = best.gather(0, own[None])
        before = (~(best < right) & has_text[:, None]).sum(0) - 1
        ranks.append(before.masked_fill(~has_text[own], -1))
    return torch.cat(ranks)


def rank_summary(
    ranks: torch.Tensor, topk: tuple[int, ...], *, lower_median: bool = False
) -> dict[str, float]:
    """``R@k`` in per cent, ``MdR`` and ``MnR`` (both from 1) of ranks from 0; NaN without any."""
    if not len(ranks):
        return {name: float('nan') for name in (*(f'R@{k}' for k in topk), 'MdR', 'MnR')}
    ranks = ranks.double()
    median = ranks.median() if lower_median else ranks.quantile(0.5)
    summary = {f'R@{k}': 100 * float((ranks < k).double().mean()) for k in topk}
    return {**summary, 'MdR': 1 + float(median), 'MnR': 1 + float(ranks.mean())}
