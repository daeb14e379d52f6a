"""Which tokens a phrase is made of.

Everything here is told the ranges of characters that tokens cover and which tokens are special
([CLS], padding, ...). No tokenizer is known.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

Pieces = Sequence[Sequence[Sequence[int]]]  # per phrase its (start, end) ranges of characters
FALLBACKS = 3  # characters that are tried at each end of a span


class TokenRanges(NamedTuple):
    """First and last token of each piece that has any, and whose piece it is."""

    phrase: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor


def _tokens_of_characters(
    offsets: torch.Tensor, special: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last token that covers each of ``size`` characters, -1 for none.

    They differ where one character was split into several byte tokens.
    """
    start, end = offsets.unbind(-1)
    tokens = (~special & (end > start)).nonzero()[:, 0]
    start, length = start[tokens], (end - start)[tokens]
    characters = (
        torch.arange(int(length.sum()))
        - (length.cumsum(0) - length - start)[
            torch.repeat_interleave(torch.arange(len(tokens)), length)
        ]
    )
    tokens = torch.repeat_interleave(tokens, length)
    inside = characters < size
    characters, tokens = characters[inside], tokens[inside]
    none = len(offsets)
    first = torch.full((size,), none).scatter_reduce(0, characters, tokens, 'amin')
    last = torch.full((size,), -1).scatter_reduce(0, characters, tokens, 'amax')
    return first.masked_fill(first == none, -1), last


def _first_found(table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Of each row of places (S, 3) the first one's token that is not -1; -1 if there is none."""
    known = (places >= 0) & (places < len(table))
    tokens = torch.where(known, table[places.clamp(0, len(table) - 1)], -1)
    return tokens.gather(1, (tokens >= 0).int().argmax(1, keepdim=True))[:, 0]


def token_ranges(
    spans: Pieces, offsets: torch.Tensor, special: torch.Tensor, *, drop_cut: bool = False
) -> TokenRanges:
    """The tokens of each piece of each phrase.

    A piece begins at the token of its first character or, where that belongs to no token (a space),
    of the second or third; it ends at the token of its last character, or the one or two before.
    Pieces without tokens are left out.

    Source: official ``create_positive_map``.

    Args:
        spans: For each phrase its (start, end) ranges of characters.
        offsets: Ranges of characters that the tokens cover.
        special: Tokens that are no text.
        drop_cut: Leave out a piece that was cut off where the text became too long, as the official
            code does; else it keeps the tokens that are there.

    Shapes:
        offsets (T, 2), special (T,) -> three tensors (S,), S the pieces that have tokens.
    """
    offsets, special = offsets.cpu().long(), special.cpu().bool()
    flat = [
        (phrase, start, end)
        for phrase, pieces in enumerate(spans)
        for start, end in pieces
        if end > start
    ]
    table = torch.tensor(flat, dtype=torch.long).reshape(-1, 3)
    phrase, start, end = table.unbind(1)
    covered = int(offsets[~special].max()) if bool((~special).any()) else 0
    first_of, last_of = _tokens_of_characters(offsets, special, max(covered, 1))
    steps = torch.arange(FALLBACKS)
    first = _first_found(first_of, start[:, None] + steps)
    last = _first_found(last_of, end[:, None] - 1 - steps)
    if not drop_cut and bool((~special).any()):
        final = int((~special).nonzero()[-1])
        last = torch.where((last < 0) & (end > covered), final, last)
    found = (first >= 0) & (last >= first)
    return TokenRanges(phrase[found], first[found], last[found])


def _covered_tokens(ranges: TokenRanges, max_tokens: int) -> torch.Tensor:
    """(S, T) bool."""
    tokens = torch.arange(max_tokens)
    return (tokens >= ranges.first[:, None]) & (tokens <= ranges.last[:, None])


def positive_map(
    spans: Pieces,
    offsets: torch.Tensor,
    special: torch.Tensor,
    max_tokens: int,
    *,
    drop_cut: bool = False,
) -> torch.Tensor:
    """Share that each token has in each phrase: 1 / (number of its tokens + 1e-6), else 0.

    A row without tokens is zero. Training targets are the positions that are not zero: the official
    collator casts the map to bool.

    Args:
        spans, offsets, special, drop_cut: As :func:`token_ranges`.
        max_tokens: T of the map; tokens behind it are lost.

    Shapes:
        P phrases, offsets (t, 2), special (t,) -> (P, T) float32.
    """
    ranges = token_ranges(spans, offsets, special, drop_cut=drop_cut)
    counts = torch.zeros(len(spans), max_tokens)
    counts.index_add_(0, ranges.phrase, _covered_tokens(ranges, max_tokens).float())
    binary = (counts > 0).float()
    return binary / (binary.sum(1, keepdim=True) + 1e-6)


def token_labels(
    spans: Pieces,
    labels: Sequence[int],
    offsets: torch.Tensor,
    special: torch.Tensor,
    max_tokens: int,
    *,
    none: int = -1,
) -> torch.Tensor:
    """The dataset's class of each token, for losses across images.

    Of phrases that overlap the later one counts.

    Source: official ``create_positive_map_for_od_labels``.

    Args:
        spans, offsets, special, max_tokens: As :func:`positive_map`.
        labels: Class of each phrase; ``none`` for free text.
        none: What tokens of no phrase get.

    Shapes:
        -> (T,) int64.
    """
    ranges = token_ranges(spans, offsets, special, drop_cut=True)
    covered = _covered_tokens(ranges, max_tokens)
    order = torch.arange(1, len(covered) + 1)[:, None] * covered
    later = order.amax(0) if len(covered) else torch.zeros(max_tokens, dtype=torch.long)
    values = torch.as_tensor(labels, dtype=torch.long).reshape(-1)[ranges.phrase]
    return torch.cat([torch.tensor([none]), values])[later]


def maskable_tokens(
    spans: Pieces | None, offsets: torch.Tensor, special: torch.Tensor, max_tokens: int
) -> torch.Tensor:
    """Which tokens masked language modeling may hide: 1 yes, 0 not counted, all -1 for a ban.

    Source: official ``create_greenlight_map``.

    Args:
        spans: Phrases whose tokens may be hidden; None if this text must not be masked at all.
        offsets, special, max_tokens: As :func:`positive_map`.

    Shapes:
        -> (T,) float32.
    """
    if spans is None:
        return torch.full((max_tokens,), -1.0)
    ranges = token_ranges(spans, offsets, special, drop_cut=True)
    return _covered_tokens(ranges, max_tokens).any(0).float()
