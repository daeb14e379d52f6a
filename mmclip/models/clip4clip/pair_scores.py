"""The tight head on all pairs of many texts and videos: the same scores for fewer operations.

What does not depend on the pair is computed once, and what nobody reads is left out, all exact:

- the first block's norm and projections of a text, and of a video's frames, are the same in every
  pair, and so is what the frames attend to among themselves. A text adds one key to a softmax:
  softmax over [text; frames] = w * text + (1 - w) * (softmax over frames), w = sigmoid(s - lse);
- of the last block only the text's token is read: no other query, output or MLP;
- padding is not run: videos of the same number of frames go together.

Of 12 D^2 multiplications per token and block this saves 3 in the first and about 10 in the last.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.layers import ResidualAttentionBlock
from mmclip.models.clip4clip.heads import check_positions

CPU_TOKENS = 1024  # as in mmclip.clip.causal_text: activations stay in the caches
ACCELERATOR_TOKENS = 131072


class _First(NamedTuple):
    """What the first block needs of one modality: tokens, queries, keys and values."""

    tokens: torch.Tensor  # (N, S, D)
    query: torch.Tensor  # (N, heads, S, D / heads)
    key: torch.Tensor
    value: torch.Tensor


def _split(block: ResidualAttentionBlock, x: torch.Tensor) -> torch.Tensor:
    """(N, S, D) -> (N, heads, S, D / heads)."""
    return x.unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2)


def _project(block: ResidualAttentionBlock, x: torch.Tensor) -> list[torch.Tensor]:
    """Queries, keys and values of tokens."""
    attention = block.attn
    qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    return [_split(block, part) for part in qkv.chunk(3, -1)]


def _first(block: ResidualAttentionBlock, tokens: torch.Tensor) -> _First:
    return _First(tokens, *_project(block, tokens))


def _finish(block: ResidualAttentionBlock, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """The rest of a block: (N, S, D) and (N, heads, S, D / heads) -> (N, S, D)."""
    x = x + block.attn.out_proj(attended.transpose(1, 2).flatten(2))
    return x + block.mlp(block.ln_2(x))


def _first_block(
    block: ResidualAttentionBlock, text: _First, video: _First, own: tuple, queries: int | None
) -> torch.Tensor:
    """The first block on all pairs of a texts and b videos of T frames: (a * b, 1 + T, D).

    Args:
        block: The block.
        text: Of a texts, S = 1.
        video: Of b videos, S = T.
        own: Attention of the frames among themselves: result (b, heads, T, d) and the logarithm of
            its denominator (b, heads, T).
        queries: 1 asks for the text's token only, None for all.
    """
    a, b = len(text.tokens), len(video.tokens)
    scale = text.query.shape[-1] ** -0.5
    # The text's token looks at itself and at all frames.
    to_self = (text.query * text.key).sum(-1)[:, None].expand(-1, b, -1, -1)  # (a, b, heads, 1)
    to_frames = torch.einsum('ahd,bhtd->abht', text.query[:, :, 0], video.key)
    weight = (scale * torch.cat([to_self, to_frames], -1)).softmax(-1)
    first = weight[..., :1] * text.value[:, None, :, 0]
    first = first + torch.einsum('abht,bhtd->abhd', weight[..., 1:], video.value)
    parts = [first[..., None, :]]
    tokens = [text.tokens[:, None].expand(-1, b, -1, -1)]
    if queries is None:
        # Each frame looks at the text and, as it would without one, at all frames.
        result, denominator = own
        to_text = scale * torch.einsum('bhtd,ahd->abht', video.query, text.key[:, :, 0])
        share = (to_text - denominator).sigmoid()[..., None]
        parts.append(torch.lerp(result[None], text.value[:, None], share))
        tokens.append(video.tokens[None].expand(a, -1, -1, -1))
    attended = torch.cat(parts, 3).flatten(0, 1)
    return _finish(block, torch.cat(tokens, 2).flatten(0, 1), attended)


def _last_block(block: ResidualAttentionBlock, x: torch.Tensor) -> torch.Tensor:
    """The first token behind a block: (N, S, D) -> (N, 1, D)."""
    attention, width = block.attn, x.shape[-1]
    normed = block.ln_1(x)
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = F.linear(normed[:, :1], weight[:width], bias[:width])
    key, value = F.linear(normed, weight[width:], bias[width:]).chunk(2, -1)
    attended = F.scaled_dot_product_attention(*(_split(block, t) for t in (query, key, value)))
    return _finish(block, x[:, :1], attended)


def _block(block: ResidualAttentionBlock, x: torch.Tensor) -> torch.Tensor:
    return _finish(block, x, F.scaled_dot_product_attention(*_project(block, x)))


def _equal_lengths(head: nn.Module, text: _First, frames: torch.Tensor, pairs: int) -> torch.Tensor:
    """(A, B) scores of videos that all have T real frames: frames (B, T, D)."""
    blocks, count = head.blocks, frames.shape[1]
    positions = head.position_embedding.weight[1 : 1 + count]
    columns = []
    b_step = max(1, min(len(frames), pairs))
    a_step = max(1, pairs // b_step)
    for part in frames.split(b_step):
        video = _first(blocks[0], part + positions)
        logits = video.query @ video.key.transpose(2, 3) * video.query.shape[-1] ** -0.5
        if count:
            own = logits.softmax(-1) @ video.value, logits.logsumexp(-1)
        else:
            own = video.value, video.value.new_zeros(video.value.shape[:-1])
        rows = []
        for some in zip(*(t.split(a_step) for t in text), strict=True):
            only = 1 if len(blocks) == 1 else None
            x = _first_block(blocks[0], _First(*some), video, own, only)
            for block in blocks[1:-1]:
                x = _block(block, x)
            x = _last_block(blocks[-1], x) if len(blocks) > 1 else x
            rows.append(head.read_out(x[:, 0]).float().view(len(some[0]), len(part)))
        columns.append(torch.cat(rows))
    return torch.cat(columns, 1)


@torch.no_grad()
def pair_scores(
    head: nn.Module,
    texts: torch.Tensor,
    frames: torch.Tensor,
    mask: torch.Tensor,
    *,
    pairs: int | None = None,
) -> torch.Tensor:
    """Scores of all pairs of A texts and B videos.

    Args:
        head: A :class:`mmclip.TightTransfHead`.
        texts, frames: Raw features.
        mask: True where a frame is real; real frames come first.
        pairs: Pairs at once; None: so many that their tokens are about 1000 on a CPU.

    Shapes:
        texts (A, D), frames (B, T, D), mask (B, T) bool -> (A, B) float32.
    """
    scores = texts.new_zeros(len(texts), len(frames), dtype=torch.float32)
    if not scores.numel():
        return scores
    lengths = mask.sum(1)
    check_positions(1 + int(lengths.max()), head.position_embedding)
    limit = CPU_TOKENS if texts.device.type == 'cpu' else ACCELERATOR_TOKENS
    text = texts[:, None].to(frames.dtype) + head.position_embedding.weight[:1]
    text = _first(head.blocks[0], text)
    for length in lengths.unique().tolist():
        columns = (lengths == length).nonzero()[:, 0]
        step = pairs or max(1, limit // (1 + length))
        scores[:, columns] = _equal_lengths(head, text, frames[columns, :length], step)
    return scores
