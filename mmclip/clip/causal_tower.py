"""What a text tower allows is read from the tower, not from its name."""

from dataclasses import dataclass

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn


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
