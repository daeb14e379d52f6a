"""Frames of videos to features, one by one or with their neighbors; padding is never run."""

import torch
from torch import nn

from mmclip.clip.cached_gradients import in_chunks
from mmclip.clip.dense_features import resize_position_embedding, vit_pool
from mmclip.clip.layers import VisionTransformer
from mmclip.models.clip4clip.patch_3d import Patch3D


def _tokens(tower: VisionTransformer, patches: torch.Tensor) -> torch.Tensor:
    """Patches (N, C, h, w) to the tokens (N, 1 + h * w, C) that enter the first block."""
    size = tuple(patches.shape[2:])
    position = resize_position_embedding(
        tower.positional_embedding, size, old_size=tower.grid_size
    ).to(patches.dtype)
    first = tower.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    x = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1) + position
    return tower.ln_pre(tower.patch_dropout(x))


def _pooled(tower: VisionTransformer, patches: torch.Tensor) -> torch.Tensor:
    """Patches (N, C, h, w) to features (N, D), raw."""
    return vit_pool(tower, tower.transformer(_tokens(tower, patches)))


def frame_features(
    tower: nn.Module,
    frames: torch.Tensor,
    mask: torch.Tensor,
    *,
    embed_dim: int,
    patch_3d: Patch3D | None = None,
    chunk: int | None = None,
) -> torch.Tensor:
    """Features of all real frames, raw; zeros in the place of padding.

    Source: the official code runs the tower over padding too, and masks its features later.

    Args:
        tower: CLIP's image tower; a ViT where there is a ``patch_3d``.
        frames: Normalized; padding is zero.
        mask: True where a frame is real.
        embed_dim: D.
        patch_3d: In the place of the ViT's own patch embedding.
        chunk: Frames at a time (:func:`mmclip.clip.cached_gradients.in_chunks`).

    Shapes:
        frames (B, T, 3, H, W), mask (B, T) bool -> (B, T, D).
    """
    places = mask.nonzero(as_tuple=True)  # the one wait for the accelerator
    if not len(places[0]):
        # A zero that hangs on the weights: each process must take part in the backward pass.
        parts = [p for m in (tower, patch_3d) if m is not None for p in m.parameters()]
        zero = sum((0 * p.sum() for p in parts if p.requires_grad), frames.new_zeros(()))
        return frames.new_zeros((*mask.shape, embed_dim)) + zero
    if patch_3d is None:
        real = in_chunks(tower, frames[places], chunk)
    else:
        patches = patch_3d(frames.transpose(1, 2)).transpose(1, 2)  # (B, T, C, h, w)
        real = in_chunks(lambda part: _pooled(tower, part), patches[places], chunk)
    out = real.new_zeros((*mask.shape, embed_dim))
    return out.masked_scatter(mask[..., None], real)
