"""Visual prompts before and inside a ViT: joint space-time tokens, and the shift of channels."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmclip.clip.dense_features import resize_position_embedding, vit_embed
from mmclip.clip.layers import VisionTransformer


def temporal_shift(tokens: torch.Tensor, n_div: int = 8) -> torch.Tensor:
    """Moves channels of patch tokens to the neighboring frames; the class token stays.

    The first 1 / n_div of the channels comes from the next frame, the second from the one before,
    zeros at both ends of the clip.

    Source: ActionCLIP's in-network prompt, as the official ``TemporalShift_VIT`` (TSM).

    Args:
        tokens: Class token first.
        n_div: Reciprocal of the share of channels that moves one way.

    Shapes:
        (B, T, 1 + N, C) -> the same.
    """
    fold = tokens.shape[-1] // n_div
    shifted = tokens.clone()
    shifted[:, :, 1:, : 2 * fold] = 0
    shifted[:, :-1, 1:, :fold] = tokens[:, 1:, 1:, :fold]
    shifted[:, 1:, 1:, fold : 2 * fold] = tokens[:, :-1, 1:, fold : 2 * fold]
    return shifted


class JointPrompt(nn.Module):
    """The learnable embedding of T moments for the pre-network prompt.

    Args:
        num_frames: T.
        width: Channels of the ViT.
    """

    def __init__(self, *, num_frames: int, width: int) -> None:
        super().__init__()
        self.time_embedding = nn.Parameter(width**-0.5 * torch.randn(num_frames, width))


def joint_embed(
    tower: VisionTransformer, frames: torch.Tensor, time_embedding: torch.Tensor
) -> torch.Tensor:
    """Tokens of a whole video before the first block: one class token, then those of all frames.

    Source: ActionCLIP's pre-network prompt ``joint``; as published the code misses names (issue 52
    there), which are read here as meant.

    Shapes:
        frames (B, T, 3, H, W), time_embedding (T, C) -> (B, 1 + T * N, C).
    """
    batch, count = frames.shape[:2]
    x = tower.conv1(frames.flatten(0, 1))
    size = tuple(x.shape[2:])
    position = resize_position_embedding(
        tower.positional_embedding, size, old_size=tower.grid_size
    ).to(x.dtype)
    x = x.flatten(2).transpose(1, 2).unflatten(0, (batch, count)) + position[1:]  # (B, T, N, C)
    x = x + time_embedding[:count, None].to(x.dtype)
    first = (tower.class_embedding.to(x.dtype) + position[0]).expand(batch, 1, -1)
    return tower.ln_pre(tower.patch_dropout(torch.cat([first, x.flatten(1, 2)], 1)))


def run_vit(
    tower: VisionTransformer,
    frames: torch.Tensor,
    *,
    time_embedding: torch.Tensor | None = None,
    shift: int | None = None,
) -> torch.Tensor:
    """An open_clip ViT over the frames of videos.

    Args:
        tower: The image tower; its own gradient checkpointing counts.
        frames: Normalized.
        time_embedding: Of the joint prompt, or None.
        shift: ``n_div`` of :func:`temporal_shift` before every block, or None. It moves the whole
            input of the block, the residual stream too.

    Shapes:
        frames (B, T, 3, H, W), time_embedding (T, C) -> (B, D) with one, else (B, T, D).
    """
    batch, count = frames.shape[:2]
    if time_embedding is None:
        x, _ = vit_embed(tower, frames.flatten(0, 1))
    else:
        x = joint_embed(tower, frames, time_embedding)
    transformer = tower.transformer
    for block in transformer.resblocks:
        if shift is not None:
            x = temporal_shift(x.unflatten(0, (batch, count)), shift).flatten(0, 1)
        if transformer.grad_checkpointing and torch.is_grad_enabled():
            x = checkpoint(block, x, use_reentrant=False)
        else:
            x = block(x)
    pooled, _ = tower._pool(x)
    if tower.proj is not None:
        pooled = pooled @ tower.proj
    return pooled if time_embedding is not None else pooled.unflatten(0, (batch, count))
