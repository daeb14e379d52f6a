"""Attention between positions of an image and words, both ways, from one table of logits."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn
from torch.utils.checkpoint import checkpoint

CLAMP = 50_000.0  # of the official code, so that fp16 logits do not overflow


State = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class Folded(NamedTuple):
    """The text side with the image's projections multiplied in.

    Shapes:
        keys (B, h, T, C), bias (B, h, T), values (B, h, T, C).
    """

    keys: torch.Tensor
    bias: torch.Tensor
    values: torch.Tensor


def exceeds_clamp(v: torch.Tensor, folded: Folded, limit: float = CLAMP) -> bool:
    """Whether a logit may be larger than the official clamps, by |<v, k> + b| <= |v| |k| + |b|."""
    longest = (
        v.detach().float().norm(dim=-1).max() * folded.keys.detach().float().norm(dim=-1).max()
    )
    return not bool(longest + folded.bias.detach().float().abs().max() <= limit)


def _joined(one: State, other: State) -> State:
    """Two parts of a running softmax (largest logits and sums beside them) as one."""
    top = one[0].maximum(other[0])
    first, second = (one[0] - top).exp(), (other[0] - top).exp()
    return (
        top,
        first * one[1] + second * other[1],
        first.transpose(1, 2) * one[2] + second.transpose(1, 2) * other[2],
        first * one[3] + second * other[3],
    )


def word_penalty(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """(B, T) mask as what is added to logits, (B, 1, 1, T); None without a mask."""
    if mask is None:
        return None
    penalty = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return penalty.masked_fill(~mask.bool(), torch.finfo(dtype).min / 2)[:, None, None]


class BiAttention(BaseModule):
    """Attention with shared logits: words for each position, positions for each word.

    A = (W_q v) (W_k l)' / sqrt(d) per head; positions read softmax_words(A) W_l l, words read
    softmax_positions(A') W_v v; padding is masked for the former only.

    The image is never projected: W_q, W_v and W_o of the vision side are multiplied into the few
    words instead (W_q' k, W_o values) or applied to what the words have read, since v -> A and
    A -> out are linear. That is exact, saves three (positions, embed_dim) maps with their
    multiplications, and costs in proportion to the number of words. Positions are taken in
    portions, the softmax over positions running along; in training a portion's logits are computed
    again in the backward pass.

    Source: GLIP equations 4 to 6, official ``BiMultiHeadAttention``. Its clamps of the logits to
    +-50000 are kept exactly: where the bound |v| |k| says that one may be reached, its sequence of
    operations is followed literally.

    Args:
        vision_dim: C.
        text_dim: C_l.
        embed_dim: Width of all heads together.
        num_heads: h.
        dropout: Of both softmaxes.
        clamp: Whether logits are clamped.
        stable_softmax: Subtract the batch's largest logit in front of the clamps. Without clamps
            it changes nothing.
        text_output: Whether words read positions (False: MHA-S).
        chunk: Positions that are taken at once.

    Shapes:
        v (B, N, C), words (B, T, C_l), mask (B, T) bool -> (B, N, C), (B, T, C_l) or None.

    Raises:
        ValueError: ``num_heads`` does not divide ``embed_dim``.
    """

    def __init__(
        self,
        *,
        vision_dim: int,
        text_dim: int,
        embed_dim: int = 2048,
        num_heads: int = 8,
        dropout: float = 0.1,
        clamp: bool = True,
        stable_softmax: bool = False,
        text_output: bool = True,
        chunk: int = 4096,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dim % num_heads:
            raise ValueError(f'num_heads: {num_heads} heads do not divide embed_dim {embed_dim}')
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.dropout, self.clamp, self.stable_softmax = dropout, clamp, stable_softmax
        self.text_output, self.chunk = text_output, chunk
        self.query = nn.Linear(vision_dim, embed_dim)
        self.key = nn.Linear(text_dim, embed_dim)
        self.value_l = nn.Linear(text_dim, embed_dim)
        self.out_v = nn.Linear(embed_dim, vision_dim)
        if text_output:
            self.value_v = nn.Linear(vision_dim, embed_dim)
            self.out_l = nn.Linear(embed_dim, text_dim)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, h d) -> (B, h, N, d)."""
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _by_head(self, weight: torch.Tensor) -> torch.Tensor:
        """(h d, C) -> (h, d, C)."""
        return weight.unflatten(0, (self.num_heads, self.head_dim))

    def forward(
        self,
        v: torch.Tensor,
        words: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        folded = self._fold(words)
        limit = CLAMP / 2 if self.stable_softmax else CLAMP
        if self.clamp and exceeds_clamp(v, folded, limit):
            return self._literally(v, words, mask)
        penalty = word_penalty(mask, folded.keys.dtype)
        seen, context, weight = self._attend(v, folded, penalty)
        seen = seen + self.out_v.bias
        if not self.text_output:
            return seen, None
        read = torch.einsum('bhtc,hdc->bhtd', context, self._by_head(self.value_v.weight))
        read = read + weight[..., None] * self._by_head(self.value_v.bias)[:, None]
        return seen, self.out_l(read.transpose(1, 2).flatten(2))

    def _fold(self, words: torch.Tensor) -> Folded:
        key = self._heads(self.key(words)) * self.head_dim**-0.5
        value = self._heads(self.value_l(words))
        return Folded(
            torch.einsum('bhtd,hdc->bhtc', key, self._by_head(self.query.weight)),
            torch.einsum('bhtd,hd->bht', key, self._by_head(self.query.bias)),
            torch.einsum('bhtd,hdc->bhtc', value, self._by_head(self.out_v.weight.T)),
        )

    def _attend(
        self, v: torch.Tensor, folded: Folded, penalty: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What positions see (B, N, C), words read (B, h, T, C), and its weight (B, h, T).

        The weight is the sum of a word's attention, 1 without dropout.
        """
        heads, count = folded.keys.shape[1:3]
        sides = (
            folded.keys.flatten(1, 2).transpose(1, 2),  # (B, C, h T)
            folded.bias.flatten(1)[:, None],
            folded.values.flatten(1, 2),
        )
        parts, seen, state = v.split(max(self.chunk, 1), dim=1), [], None
        for part in parts:
            if torch.is_grad_enabled() and len(parts) > 1:
                out, state = checkpoint(
                    self._portion, part, sides, count, penalty, state, use_reentrant=False
                )
            else:
                out, state = self._portion(part, sides, count, penalty, state)
            seen.append(out)
        seen = torch.cat(seen, 1) if len(seen) > 1 else seen[0]
        if state is None:
            return seen, seen.new_zeros(0), seen.new_zeros(0)
        _, total, context, weight = state
        context = (context / total.transpose(1, 2)).unflatten(1, (heads, count))
        return seen, context, (weight / total)[:, 0].unflatten(1, (heads, count))

    def _portion(
        self,
        part: torch.Tensor,
        sides: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        count: int,
        penalty: torch.Tensor | None,
        state: State | None,
    ) -> tuple[torch.Tensor, State | None]:
        """Some positions: what they see, and the softmax over positions as far as it has run.

        Shapes:
            part (B, n, C), sides (B, C, h T), (B, 1, h T), (B, h T, C) -> (B, n, C), and the
            largest logits (B, 1, h T), sums (B, 1, h T), sums of positions (B, h T, C), sums of
            weights (B, 1, h T).
        """
        keys, bias, values = sides
        rate = self.dropout if self.training else 0.0
        logits = part @ keys + bias  # (B, n, h T)
        if self.text_output:
            peak = logits.detach().amax(1, keepdim=True).float()
            shares = (logits - peak).exp()
            kept = F.dropout(shares, rate)
            total, weight = shares.sum(1, keepdim=True), kept.sum(1, keepdim=True)
            # The product is a mean, as the official one: a sum of thousands overflows in fp16.
            scale = total.detach()
            mean = (kept / scale).transpose(1, 2).to(part.dtype) @ part
            own = peak, total, mean * scale.transpose(1, 2), weight
            state = own if state is None else _joined(state, own)
        table = logits.unflatten(-1, (-1, count))
        table = table if penalty is None else table + penalty
        shares = F.dropout(table.softmax(-1), rate).flatten(2)
        return shares.to(values.dtype) @ values, state

    def _literally(
        self,
        v: torch.Tensor,
        words: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The official sequence of operations, for logits that the clamps change."""
        query = self._heads(self.query(v) * self.head_dim**-0.5)
        logits = query @ self._heads(self.key(words)).transpose(2, 3)  # (B, h, N, T)
        if self.stable_softmax:
            logits = logits - logits.max()
        logits = self._clamped(logits)
        rate = self.dropout if self.training else 0.0
        read = None
        if self.text_output:
            rows = logits.transpose(2, 3)
            rows = self._clamped(rows - rows.amax(-1, keepdim=True))
            shares = F.dropout(rows.softmax(-1), rate)
            read = self.out_l((shares @ self._heads(self.value_v(v))).transpose(1, 2).flatten(2))
        penalty = word_penalty(mask, logits.dtype)
        logits = logits if penalty is None else logits + penalty
        shares = F.dropout(logits.softmax(-1), rate)
        seen = (shares @ self._heads(self.value_l(words))).transpose(1, 2).flatten(2)
        return self.out_v(seen), read

    def _clamped(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.clamp(-CLAMP, CLAMP) if self.clamp else logits
