"""Exact fast encoding for causal text towers that read one token.

In a causal tower a position sees only what stands before it, and CLIP reads the feature at the end
token. Two things follow, both exact:

- whatever stands behind the end token (padding) never matters: encode only as many positions as a
  text has, texts of equal length together, so that nothing is padded;
- the keys and values of what texts have in common at their start ('a photo of the small') are the
  same for every name: compute them once per template and share them.

What a tower allows is read from the tower (:func:`mmclip.clip.causal_tower.causal_tower`):
bidirectional ones, CoCa's with its appended class token, Hugging Face ones and custom blocks allow
neither.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

from mmclip.clip.causal_tower import CausalTower, causal_tower

CPU_TOKENS = 1024  # activations stay in the caches
ACCELERATOR_TOKENS = 32768


def tokens_per_batch(device: torch.device) -> int:
    """Tokens that are run at once."""
    return CPU_TOKENS if device.type == 'cpu' else ACCELERATOR_TOKENS


@dataclass(frozen=True)
class _Job:
    """N texts of S tokens each, behind P tokens whose keys and values are known.

    Args:
        ids: (N, S).
        start: P.
        owner: (N,) which of the prefixes of length P stands before a text.
        place: (N,) row of the result. Prefixes have neither: only their keys and values are wanted.
    """

    ids: torch.Tensor
    start: int = 0
    owner: torch.Tensor | None = None
    place: torch.Tensor | None = None

    def split(self, tokens: int) -> list['_Job']:
        """The same texts in jobs of at most so many tokens (or of one text)."""
        step = max(1, tokens // self.ids.shape[1])
        parts = zip(
            self.ids.split(step), self.owner.split(step), self.place.split(step), strict=True
        )
        return [_Job(ids, self.start, owner, place) for ids, owner, place in parts]

    def mask(self, device: torch.device) -> torch.Tensor:
        """(S, P + S), true where a token sees another."""
        size = (self.ids.shape[1], self.start + self.ids.shape[1])
        return torch.ones(size, dtype=torch.bool, device=device).tril(self.start)


# Keys and values (N, heads, P, C / heads) of prefixes, by their length and by block.
_States = dict[int, list[tuple[torch.Tensor, torch.Tensor]]]


def _attend(
    block: ResidualAttentionBlock,
    x: torch.Tensor,
    queries: torch.Tensor | None,
    index: int,
    jobs: Sequence[_Job],
    masks: Sequence[torch.Tensor],
    states: _States,
    keep: bool,
) -> torch.Tensor:
    """Attention of all jobs: what is linear for all tokens at once, the rest job by job."""
    attention = block.attn
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    sizes = [job.ids.numel() for job in jobs]
    if queries is None:
        q, k, v = F.linear(x, weight, bias).chunk(3, 1)
    else:  # the last block: only the last token of each text is asked for
        k, v = F.linear(x, weight[width:], bias[width:]).chunk(2, 1)
        q = F.linear(x[queries], weight[:width], bias[:width])
    asked = sizes if queries is None else [len(job.ids) for job in jobs]
    out = []
    parts = zip(jobs, masks, q.split(asked), k.split(sizes), v.split(sizes), strict=True)
    for job, mask, *rows in parts:
        q, k, v = (t.view(len(job.ids), -1, heads, width // heads).transpose(1, 2) for t in rows)
        if keep:
            # Under tracing a size is a tensor, which is no key.
            states.setdefault(int(job.ids.shape[1]), []).append((k, v))
        if job.start:
            before = states[job.start][index]
            k, v = torch.cat([before[0][job.owner], k], 2), torch.cat([before[1][job.owner], v], 2)
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask if queries is None else None
        )
        out.append(attended.transpose(1, 2).reshape(-1, width))
    return attention.out_proj(torch.cat(out))


def _run(
    tower: CausalTower, jobs: Sequence[_Job], states: _States, *, keep: bool = False
) -> torch.Tensor:
    """All blocks over the tokens of all jobs, one after the other in one (M, C) matrix.

    Args:
        tower: The tower.
        jobs: What to run.
        states: Of the prefixes; with ``keep``, the jobs are prefixes and theirs are put in.
        keep: See ``states``.

    Returns:
        (sum of N, C): the last token of each text behind the last block.
    """
    dtype, device = tower.blocks[0].get_weight_dtype(), tower.positional_embedding.device
    masks = [job.mask(device) for job in jobs]
    positions = [tower.positional_embedding[j.start : j.start + j.ids.shape[1]] for j in jobs]
    x = tower.token_embedding(torch.cat([job.ids.flatten() for job in jobs])).to(dtype)
    x = x + torch.cat(
        [p.to(dtype).repeat(len(job.ids), 1) for p, job in zip(positions, jobs, strict=True)]
    )
    lengths = torch.tensor([job.ids.shape[1] for job in jobs])
    counts = torch.tensor([len(job.ids) for job in jobs])
    last = (lengths.repeat_interleave(counts).cumsum(0) - 1).to(device)
    for index, block in enumerate(tower.blocks):
        queries = last if index + 1 == len(tower.blocks) else None
        attended = _attend(block, block.ln_1(x), queries, index, jobs, masks, states, keep)
        x = (x if queries is None else x[queries]) + block.ls_1(attended)
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return x


def _finish(tower: CausalTower, x: torch.Tensor) -> torch.Tensor:
    x = tower.ln_final(x)
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


def _jobs(tower: CausalTower, groups: Sequence[torch.Tensor]) -> tuple[list[_Job], list[_Job]]:
    """The prefixes of all groups by length, and what follows them by both lengths."""
    prefixes = defaultdict(list)  # P -> ids
    suffixes = defaultdict(list)  # (P, S) -> (ids, owner, place)
    offset = 0
    for ids in groups:
        if len(ids):
            ends = tower.end_of(ids)
            shared = _common_prefix(ids, ends)
            owner = len(prefixes[shared])
            prefixes[shared].append(ids[0, :shared])
            lengths = ends + 1 - shared
            for length in lengths.unique().tolist():
                rows = (lengths == length).nonzero()[:, 0]
                part = ids[rows, shared : shared + length]
                suffixes[shared, length].append((part, torch.full_like(rows, owner), offset + rows))
        offset += len(ids)
    heads = [_Job(torch.stack(ids)) for length, ids in sorted(prefixes.items()) if length]
    tails = []
    for (shared, _), parts in sorted(suffixes.items()):
        ids, owner, place = map(torch.cat, zip(*parts, strict=True))
        tails.append(_Job(ids, shared, owner, place))
    return heads, tails


@torch.no_grad()
def encode_causal(tower: CausalTower, groups: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Features of texts that come in groups with a common start.

    Args:
        tower: From :func:`causal_tower`.
        groups: Token ids (N_g, T) per group, e.g. one group per template.

    Returns:
        (N_g, D) features per group, not normalized; equal to the tower's own up to rounding.
    """
    device = tower.positional_embedding.device
    groups = [ids.to(device) for ids in groups]
    counts = [len(ids) for ids in groups]
    dtype = tower.blocks[0].get_weight_dtype()
    result = torch.empty(sum(counts), tower.embed_dim, device=device, dtype=dtype)
    heads, tails = _jobs(tower, groups)
    states: _States = {}
    if heads:
        _run(tower, heads, states, keep=True)
    for pack in _packs(tails, tokens_per_batch(device)):
        features = _finish(tower, _run(tower, pack, states))
        result[torch.cat([job.place for job in pack])] = features.to(dtype)
    return list(result.split(counts)) if groups else []


def _packs(jobs: Sequence[_Job], tokens: int) -> Iterator[list[_Job]]:
    """Jobs, split where they are too large, in packs of about so many tokens."""
    pack: list[_Job] = []
    size = 0
    for job in chain.from_iterable(whole.split(tokens) for whole in jobs):
        if pack and size + job.ids.numel() > tokens:
            yield pack
            pack, size = [], 0
        pack.append(job)
        size += job.ids.numel()
    if pack:
        yield pack


def encode_tokens(clip: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Features of token ids with gradients, not normalized; a causal tower skips the padding.

    Ids on the CPU go to the tower; so the longest text is known without waiting for an accelerator.

    Shapes:
        (N, T) -> (N, D).
    """
    tower = causal_tower(clip)
    device = next(clip.parameters()).device
    if tower is None:
        return clip.encode_text(ids.to(device))
    ends = tower.end_of(ids)
    length = int(ends.max()) + 1 if len(ids) else 1
    ids, ends = ids[:, :length].to(device), ends.to(device)
    x = tower.token_embedding(ids) + tower.positional_embedding[:length]
    mask = x.new_full((length, length), float('-inf')).triu_(1)
    for block in tower.blocks:
        x = block(x, attn_mask=mask)
    x = tower.ln_final(x[torch.arange(len(ids), device=ids.device), ends])
    if tower.projection is None:
        return x
    return tower.projection(x) if isinstance(tower.projection, nn.Linear) else x @ tower.projection
