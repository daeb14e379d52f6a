"""The tight similarity head: a transformer reads each pair of a text and a video."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.causal_tower import CausalTower
from mmclip.clip.layers import QuickGELU
from mmclip.clip.temporal_blocks import init_normal, run_blocks, temporal_blocks
from mmclip.models.clip4clip.heads import check_positions, start_blocks
from mmclip.models.clip4clip.pair_scores import pair_scores
from mmclip.registry import MODELS


@MODELS.register_module()
class TightTransfHead(BaseModule):
    """Similarity of pairs: blocks over [text; frames], a pooler on the text's token, one number.

    score(t, v) = w . gelu(W ln(blocks([t; f_1 ... f_T] + positions)_0) + b) + c

    Neither normalization nor a logit scale; the frames are read in one direction and all ways.

    Source: CLIP4Clip's ``tightTransf``, official ``CrossModel``. Starts from CLIP's text tower as
    :class:`mmclip.SeqTransfHead`; pooler and last layer from N(0, 0.02).

    Args:
        embed_dim: D.
        layers: Number of blocks.
        heads: None is D // 64, at least one.
        max_frames: Rows of the position table; the first is the text's, so one frame less fits.
        dropout: Behind the positions, in training.
        norm_eps: Of the layer norms.
        pairs: Pairs at once when a whole matrix is computed without gradients; None: what fits
            into the caches, or on an accelerator about a gigabyte.
    """

    is_loose = False

    def __init__(
        self,
        *,
        embed_dim: int,
        layers: int = 4,
        heads: int | None = None,
        max_frames: int = 77,
        dropout: float = 0.1,
        norm_eps: float = 1e-12,
        pairs: int | None = None,
    ) -> None:
        super().__init__()
        if pairs is not None and pairs < 1:
            raise ValueError(f'pairs: {pairs}; allowed are positive numbers and None')
        self.embed_dim = embed_dim
        self.pairs = pairs
        self.position_embedding = nn.Embedding(max_frames, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = temporal_blocks(
            width=embed_dim, layers=layers, heads=heads, norm_eps=norm_eps
        )
        self.pooler = nn.ModuleDict(
            dict(
                ln_pool=nn.LayerNorm(embed_dim, eps=norm_eps), dense=nn.Linear(embed_dim, embed_dim)
            )
        )
        self.gelu = QuickGELU()
        self.score = nn.Linear(embed_dim, 1)
        init_normal(self)

    def init_weights(self) -> None:
        """Nothing: it is made with its weights, so that loaded ones stay."""

    def start_from(self, text: CausalTower | None) -> None:
        """As :func:`mmclip.models.clip4clip.heads.start_blocks`."""
        start_blocks(self.blocks, self.position_embedding, text)

    def read_out(self, tokens: torch.Tensor) -> torch.Tensor:
        """First tokens behind the blocks (N, D) -> scores (N,)."""
        pooled = self.gelu(self.pooler['dense'](self.pooler['ln_pool'](tokens)))
        return self.score(pooled)[..., 0]

    def hidden(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """All tokens behind the blocks: (N, D), (N, T, D), (N, T) of N pairs -> (N, 1 + T, D).

        Raises:
            ValueError: more frames than ``max_frames - 1``.
        """
        x = torch.cat([texts[:, None].to(frames.dtype), frames], 1)
        check_positions(x.shape[1], self.position_embedding)
        x = x + self.position_embedding.weight[: x.shape[1]].to(x.dtype)
        mask = torch.cat([mask.new_ones(len(mask), 1), mask], 1)
        return run_blocks(self.blocks, self.dropout(x), mask)

    def forward(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Scores of all pairs of A texts and B videos, float32.

        With gradients each pair is run as it stands; without, by
        :func:`mmclip.models.clip4clip.pair_scores.pair_scores`, which gives the same faster.

        Shapes:
            texts (A, D), raw, frames (B, T, D), raw, mask (B, T) bool -> (A, B).
        """
        if not (torch.is_grad_enabled() or self.training):
            return pair_scores(self, texts, frames, mask, pairs=self.pairs)
        return self.all_pairs(texts, frames, mask)

    def all_pairs(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """(A, B) scores with gradients, every pair run whole."""
        a, b = len(texts), len(frames)
        pairs = (
            texts[:, None].expand(-1, b, -1).flatten(0, 1),
            frames.expand(a, *frames.shape).flatten(0, 1),
            mask.expand(a, *mask.shape).flatten(0, 1),
        )
        return self.read_out(self.hidden(*pairs)[:, 0]).float().view(a, b)
