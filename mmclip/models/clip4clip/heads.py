"""The loose similarity heads: a vector per video, compared with texts by one matrix product."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmclip.clip.causal_tower import CausalTower
from mmclip.clip.temporal_blocks import init_normal, run_blocks, temporal_blocks
from mmclip.registry import MODELS


def masked_mean(
    frames: torch.Tensor, mask: torch.Tensor, *, normalize_frames: bool = True
) -> torch.Tensor:
    r"""The direction of a video: mean of its frames' directions.

    .. math:: v = n\Big(\frac{\sum_t m_t\, n(f_t)}{\max(1, \sum_t m_t)}\Big), \quad n(x) = x / |x|

    Source: CLIP4Clip, section 3.3; official ``_mean_pooling_for_similarity_visual``. A video
    without a frame is a zero vector here and NaN there.

    Args:
        frames: Raw.
        mask: True where a frame is real.
        normalize_frames: Whether each frame counts by its direction only; MMAction2's port has
            this False.

    Shapes:
        frames (B, T, D), mask (B, T) bool -> (B, D), float32, L2-normalized.
    """
    frames = F.normalize(frames.float(), dim=-1) if normalize_frames else frames.float()
    weight = mask.to(frames.dtype)
    total = (frames * weight[..., None]).sum(1)
    return F.normalize(total / weight.sum(1, keepdim=True).clamp(min=1), dim=-1)


class LooseHead(BaseModule):
    """What the loose heads share: something along time, then :func:`masked_mean`.

    Args:
        embed_dim: D.
        normalize_frames: As :func:`masked_mean`.
    """

    is_loose = True

    def __init__(self, *, embed_dim: int, normalize_frames: bool = True) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.normalize_frames = normalize_frames

    def init_weights(self) -> None:
        """Nothing: they are made with their weights, so that loaded ones stay."""

    def start_from(self, text: CausalTower | None) -> None:
        """Take over CLIP's weights where the official code does."""

    def sequence(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T, D) frames that know of each other, (B, T) -> (B, T, D)."""
        return frames

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors of videos, L2-normalized.

        Shapes:
            frames (B, T, D), raw, mask (B, T) bool -> (B, D).
        """
        return masked_mean(
            self.sequence(frames, mask), mask, normalize_frames=self.normalize_frames
        )


@MODELS.register_module()
class MeanPHead(LooseHead):
    """Parameter-free: the mean over frames.

    Source: CLIP4Clip's ``meanP``.
    """


@MODELS.register_module()
class SeqLSTMHead(LooseHead):
    """One LSTM layer over the frames with a residual, then the mean.

    Source: CLIP4Clip's ``seqLSTM``; PyTorch's own initialization.
    """

    def __init__(self, *, embed_dim: int, **kwargs: Any) -> None:
        super().__init__(embed_dim=embed_dim, **kwargs)
        self.lstm = nn.LSTM(embed_dim, embed_dim, batch_first=True)

    def sequence(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """As :meth:`LooseHead.sequence`. What stands behind a video's frames is not read."""
        if not frames.numel():  # cuDNN and ATen refuse an empty batch
            return frames + 0 * sum(p.sum() for p in self.lstm.parameters())
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        # Officially, steps that no video of the batch reaches hold the features themselves.
        out = torch.cat([out.to(frames.dtype), frames[:, out.shape[1] :]], 1)
        return out + frames


def check_positions(count: int, table: nn.Embedding) -> None:
    """Raise if a sequence is longer than its table of positions."""
    if count > table.num_embeddings:
        raise ValueError(
            f'frames: {count} tokens are more than the {table.num_embeddings} rows of max_frames'
        )


def start_blocks(blocks: nn.ModuleList, table: nn.Embedding, text: CausalTower | None) -> None:
    """CLIP's text tower as the start of blocks over frames, as far as it goes and fits.

    Source: official ``CLIP4Clip.from_pretrained``: positions and the first blocks of the text
    tower; its causal mask is not taken over.

    Args:
        blocks: Of the head.
        table: Its positions.
        text: CLIP's text tower. One of another width, or none that is plain, changes nothing.
    """
    if text is None or text.positional_embedding.shape[1] != table.embedding_dim:
        return
    with torch.no_grad():
        rows = min(len(text.positional_embedding), len(table.weight))
        table.weight[:rows] = text.positional_embedding[:rows]
    for own, theirs in zip(blocks, text.blocks, strict=False):
        if own.attn.num_heads == theirs.attn.num_heads:
            own.load_state_dict(theirs.state_dict())


@MODELS.register_module()
class SeqTransfHead(LooseHead):
    """Positions and transformer blocks over the frames with a residual, then the mean.

    Source: CLIP4Clip's ``seqTransf``. It starts from CLIP's text tower where that has the same
    width (ViT-B, ViT-L), else from N(0, 0.02).

    Args:
        layers: Number of blocks.
        heads: None is D // 64, at least one.
        max_frames: Rows of the position table; 77 officially (the text's context length).
        norm_eps: Of the layer norms.
        kwargs: As :class:`LooseHead`.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        layers: int = 4,
        heads: int | None = None,
        max_frames: int = 77,
        norm_eps: float = 1e-12,
        **kwargs: Any,
    ) -> None:
        super().__init__(embed_dim=embed_dim, **kwargs)
        self.position_embedding = nn.Embedding(max_frames, embed_dim)
        self.blocks = temporal_blocks(
            width=embed_dim, layers=layers, heads=heads, norm_eps=norm_eps
        )
        init_normal(self)

    def start_from(self, text: CausalTower | None) -> None:
        """As :func:`start_blocks`."""
        start_blocks(self.blocks, self.position_embedding, text)

    def sequence(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """As :meth:`LooseHead.sequence`.

        Raises:
            ValueError: more frames than ``max_frames``.
        """
        count = frames.shape[1]
        check_positions(count, self.position_embedding)
        x = frames + self.position_embedding.weight[:count].to(frames.dtype)
        return run_blocks(self.blocks, x, mask).to(frames.dtype) + frames
