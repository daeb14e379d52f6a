"""Transformer blocks over the frames of a video, behind CLIP's image tower."""

from functools import partial

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

MASKED = -1e6  # added to the logits of keys that are padding; finite: a video of padding has no NaN


def temporal_blocks(
    *, width: int, layers: int, heads: int | None = None, norm_eps: float = 1e-12
) -> nn.ModuleList:
    """CLIP's pre-norm blocks with another eps in their norms.

    Source: ActionCLIP's ``TemporalTransformer`` and CLIP4Clip's ``Transformer``, both with the
    norms of an early BERT: eps 1e-12, where CLIP's towers have 1e-5.

    Args:
        width: D.
        layers: Number of blocks.
        heads: None is D // 64, at least one.
        norm_eps: Of the layer norms.

    Raises:
        ValueError: no block; heads that do not divide D.
    """
    if layers < 1:
        raise ValueError(f'layers: {layers}; allowed are 1 and more')
    heads = heads or max(1, width // 64)
    if width % heads:
        raise ValueError(f'heads: {heads} do not divide {width} channels')
    norm = partial(nn.LayerNorm, eps=norm_eps)
    return nn.ModuleList(
        ResidualAttentionBlock(width, heads, act_layer=QuickGELU, norm_layer=norm)
        for _ in range(layers)
    )


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Weights of linear layers and tables from N(0, std), biases zero; in place.

    The input projection of attention, which is neither, stays as PyTorch makes it.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def key_mask(mask: torch.Tensor, heads: int) -> torch.Tensor:
    """What is added to attention logits so that no token reads padding.

    Args:
        mask: True where a token is real.
        heads: Of the attention.

    Shapes:
        (B, T) bool -> (B * heads, T, T) float.
    """
    added = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, MASKED)
    count = mask.shape[1]
    return added[:, None, None].expand(-1, heads, count, -1).reshape(-1, count, count)


def run_blocks(
    blocks: nn.ModuleList, tokens: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """All blocks one after the other.

    Shapes:
        tokens (B, T, D), mask (B, T) bool -> (B, T, D).
    """
    if not tokens.numel():  # attention refuses an empty batch; a zero that hangs on the weights
        return tokens + 0 * sum(p.sum() for p in blocks.parameters())
    added = None if mask is None else key_mask(mask, blocks[0].attn.num_heads)
    for block in blocks:
        tokens = block(tokens, attn_mask=added)
    return tokens
