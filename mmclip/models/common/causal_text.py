"""Exact fast encoding for causal text towers that read one token.

In a causal tower a position sees only what stands before it, and CLIP reads the feature at the end
token. Two things follow, both exact:

- whatever stands behind the end token (padding) never matters: encode only as many positions as a
  text has, texts of equal length together, so that nothing is padded;
- the keys and values of what texts have in common at their start ('a photo of the small') are the
  same for every name: compute them once per template and share them.

What a tower allows is read from the tower (:func:`causal_tower`): bidirectional ones, CoCa's with
its appended class token, Hugging Face ones and custom blocks allow neither.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class CausalTower:
    """The parts of a text tower that the fast path uses."""

    token_embedding: nn.Embedding
    positional_embedding: torch.Tensor
    blocks: tuple[ResidualAttentionBlock, ...]
    ln_final: nn.Module
    projection: nn.Linear | torch.Tensor | None
    eos_id: int | None  # None: the end token is the one with the highest id

    def end_of(self, ids: torch.Tensor) -> torch.Tensor:
        """(N, T) token ids -> (N,) position that the feature is read from."""
        if self.eos_id is None:
            return ids.argmax(1)
        return (ids == self.eos_id).int().argmax(1)

    @property
    def embed_dim(self) -> int:
        """D of the features."""
        if self.projection is None:
            return self.positional_embedding.shape[1]
        if isinstance(self.projection, nn.Linear):
            return self.projection.out_features
        return self.projection.shape[1]


def _is_plain(block: nn.Module) -> bool:
    """Whether a block computes what :func:`_block` does: no adapter, no cross attention."""
    return (
        type(block) is ResidualAttentionBlock
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.in_proj_bias is not None
        and block.attn.bias_k is None
        and not hasattr(block, 'ln_1_kv')
    )


def causal_tower(clip: nn.Module) -> CausalTower | None:
    """The parts if the tower is causal and reads its end token, else None.

    Args:
        clip: An open_clip ``CLIP``, ``CustomTextCLIP`` or ``CoCa``.
    """
    tower = getattr(clip, 'text', clip)
    pool = getattr(tower, 'text_pool_type', None) or getattr(tower, 'pool_type', None)
    mask = getattr(tower, 'attn_mask', None)
    transformer = getattr(tower, 'transformer', None)
    blocks = tuple(getattr(transformer, 'resblocks', ()))
    plain = (
        pool in ('argmax', 'eos')
        and isinstance(mask, torch.Tensor)
        and torch.equal(mask, torch.full_like(mask, float('-inf')).triu_(1))
        and getattr(tower, 'cls_emb', None) is None
        and not getattr(tower, 'use_pad_mask', False)
        and hasattr(transformer, 'resblocks')
        and all(map(_is_plain, blocks))
    )
    if not plain:
        return None
    eos_id = getattr(tower, 'text_eos_id', getattr(tower, 'eos_id', None))
    return CausalTower(
        tower.token_embedding,
        tower.positional_embedding,
        blocks,
        tower.ln_final,
        tower.text_projection,
        eos_id if pool == 'eos' else None,
    )


def _qkv(block: ResidualAttentionBlock, x: torch.Tensor, parts: slice) -> list[torch.Tensor]:
    """Queries, keys and values, or a part of them, of (N, T, C): each (N, heads, T, C / heads)."""
    attention = block.attn
    width = attention.embed_dim
    rows = slice((parts.start or 0) * width, (parts.stop or 3) * width)
    out = F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    shape = (*x.shape[:2], -1, attention.num_heads, width // attention.num_heads)
    return list(out.view(shape).permute(2, 0, 3, 1, 4))


def _block(
    block: ResidualAttentionBlock,
    x: torch.Tensor,
    prefix: tuple[torch.Tensor, torch.Tensor] | None,
    *,
    only_last: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One block over (N, S, C) behind a prefix whose keys and values are known.

    Returns:
        The new x, and the keys and values of its positions. With ``only_last`` the new x holds the
        last position only: (N, 1, C).
    """
    normed = block.ln_1(x)
    if only_last:
        k, v = _qkv(block, normed, slice(1, 3))
        (q,) = _qkv(block, normed[:, -1:], slice(0, 1))
        x = x[:, -1:]
    else:
        q, k, v = _qkv(block, normed, slice(0, 3))
    keys, values = k, v
    if prefix is not None:
        keys, values = torch.cat([prefix[0], k], 2), torch.cat([prefix[1], v], 2)
    mask = None
    if q.shape[2] > 1:
        size = (q.shape[2], keys.shape[2])
        mask = torch.ones(size, dtype=torch.bool, device=x.device).tril(size[1] - size[0])
    attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    attended = attended.transpose(1, 2).flatten(2)  # (N, S, C)
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x))), k, v


def _embed(tower: CausalTower, ids: torch.Tensor, start: int) -> torch.Tensor:
    dtype = tower.blocks[0].get_weight_dtype()
    positions = tower.positional_embedding[start : start + ids.shape[1]]
    return tower.token_embedding(ids).to(dtype) + positions.to(dtype)


def _prefix_states(tower: CausalTower, ids: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Keys and values of (N, P) prefixes in every block."""
    x, states = _embed(tower, ids, 0), []
    for index, block in enumerate(tower.blocks):
        x, k, v = _block(block, x, None, only_last=index + 1 == len(tower.blocks))
        states.append((k, v))
    return states


def _finish(tower: CausalTower, x: torch.Tensor) -> torch.Tensor:
    x = tower.ln_final(x[:, -1])
    if tower.projection is None:
        return x
    if isinstance(tower.projection, nn.Linear):
        return tower.projection(x)
    return x @ tower.projection


def _common_prefix(ids: torch.Tensor, ends: torch.Tensor) -> int:
    """Number of leading tokens that all rows share, the last one of no row among them."""
    same = (ids == ids[:1]).all(0)
    shared = int(same.int().cumprod(0).sum())
    return min(shared, int(ends.min()))


@torch.no_grad()
def encode_causal(tower: CausalTower, groups: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Features of texts that come in groups with a common start.

    Args:
        tower: From :func:`causal_tower`.
        groups: Token ids (N_g, T) per group, e.g. one group per template.

    Returns:
        (N_g, D) features per group, not normalised; equal to the tower's own up to rounding.
    """
    device = tower.positional_embedding.device
    jobs = defaultdict(list)  # (prefix length, suffix length) -> (group, rows)
    prefixes = defaultdict(dict)  # prefix length -> group -> its prefix
    dtype = tower.blocks[0].get_weight_dtype()
    results = [torch.empty(len(ids), tower.embed_dim, device=device, dtype=dtype) for ids in groups]
    for index, ids in enumerate(groups):
        if not len(ids):
            continue
        ends = tower.end_of(ids)
        shared = _common_prefix(ids, ends)
        if shared:
            prefixes[shared][index] = ids[0, :shared]
        suffix = ends + 1 - shared
        for length in suffix.unique().tolist():
            jobs[shared, length].append((index, (suffix == length).nonzero()[:, 0]))

    for shared in sorted({key[0] for key in jobs}):
        states, place = None, {}
        if shared:
            place = {group: row for row, group in enumerate(prefixes[shared])}
            stacked = torch.stack(list(prefixes[shared].values())).to(device)
            states = _prefix_states(tower, stacked)
        for (prefix_length, length), parts in jobs.items():
            if prefix_length != shared:
                continue
            ids = torch.cat([groups[g][rows, shared : shared + length] for g, rows in parts])
            owner = torch.tensor([place.get(g, 0) for g, _ in parts])
            owner = owner.repeat_interleave(torch.tensor([len(rows) for _, rows in parts]))
            step = max(1, TOKENS_PER_BATCH // length)
            features = torch.cat(
                [
                    _encode_suffixes(tower, chunk.to(device), states, own.to(device), shared)
                    for chunk, own in zip(ids.split(step), owner.split(step), strict=True)
                ]
            )
            start = 0
            for group, rows in parts:
                results[group][rows.to(device)] = features[start : start + len(rows)].to(dtype)
                start += len(rows)
    return results


def _encode_suffixes(
    tower: CausalTower,
    ids: torch.Tensor,
    states: list[tuple[torch.Tensor, ...]] | None,
    owner: torch.Tensor,
    start: int,
) -> torch.Tensor:
    """(N, S) suffix ids, each behind the prefix ``owner`` -> (N, D)."""
    x = _embed(tower, ids, start)
    for index, block in enumerate(tower.blocks):
        prefix = None if states is None else (states[index][0][owner], states[index][1][owner])
        x, _, _ = _block(block, x, prefix, only_last=index + 1 == len(tower.blocks))
    return _finish(tower, x)
