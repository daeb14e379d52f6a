"""Fusion of feature maps with words: GLIP's MHA-B and its ablations."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from timm.layers import DropPath
from torch import nn

from mmclip.models.glip.bi_attention import BiAttention

KINDS = ('MHA-B', 'MHA-S')
Maps = tuple[torch.Tensor, ...]


def to_positions(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """L maps (B, C, H, W) -> (B, sum of H W, C)."""
    return torch.cat([level.flatten(2) for level in features], 2).transpose(1, 2)


def to_maps(positions: torch.Tensor, features: Sequence[torch.Tensor]) -> Maps:
    """(B, sum of H W, C) -> maps of the shapes of ``features``."""
    parts = positions.split([level.shape[2] * level.shape[3] for level in features], 1)
    return tuple(
        part.transpose(1, 2).reshape(len(part), -1, *level.shape[2:])
        for part, level in zip(parts, features, strict=True)
    )


class ShrinkText(nn.Module):
    """Word features of all levels side by side, back to their width."""

    def __init__(self, text_dim: int, num_levels: int, dropout: float) -> None:
        super().__init__()
        self.fc = nn.Linear(num_levels * text_dim, text_dim)
        self.norm = nn.LayerNorm(text_dim, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.norm(self.fc(hidden)))


class VisionLanguageFusion(BaseModule):
    """Image and words read each other.

    v, l <- norm(v), norm(l); v <- v + gamma_v * out_v, l <- l + gamma_l * out_l: the residual is
    the normalized features, as in the official code.

    Source: GLIP section 3.2, official ``VLFuse``, ``BiAttentionBlockForCheckpoint`` and
    ``AttentionT2I``.

    Args:
        vision_dim: C.
        text_dim: C_l.
        kind: ``'MHA-B'``: both ways; ``'MHA-S'``: words to image, level by level, words stay.
        embed_dim: Width of the attention.
        num_heads: Heads.
        dropout: Of the attention, and of what merges the levels.
        drop_path: Stochastic depth.
        init_value: Where gamma starts; official 1 / number of blocks.
        separate: MHA-B for each level of its own; the words of all levels are merged by a linear
            layer.
        num_levels: Levels that a separate fusion merges.
        renormalize: MHA-S: normalize the words once more at every level, as the official code does
            by accident.
        clamp, stable_softmax: As :class:`~mmclip.models.glip.bi_attention.BiAttention`.

    Shapes:
        L maps (B, C, H_l, W_l), hidden (B, T, C_l), mask (B, T) bool or None -> the same shapes.

    Raises:
        ValueError: an unknown kind; ``separate`` with MHA-S.
    """

    def __init__(
        self,
        *,
        vision_dim: int,
        text_dim: int,
        kind: str = 'MHA-B',
        embed_dim: int = 2048,
        num_heads: int = 8,
        dropout: float = 0.1,
        drop_path: float = 0.0,
        init_value: float = 1 / 6,
        separate: bool = False,
        num_levels: int = 5,
        renormalize: bool = False,
        clamp: bool = True,
        stable_softmax: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if kind not in KINDS:
            raise ValueError(f'kind: {kind!r}; allowed are {", ".join(KINDS)} and FILM')
        both = kind == 'MHA-B'
        if separate and not both:
            raise ValueError('separate: MHA-S goes level by level and merges no words')
        self.both, self.separate, self.renormalize = both, separate, renormalize
        self.norm_v = nn.LayerNorm(vision_dim)
        self.norm_l = nn.LayerNorm(text_dim)
        self.attention = BiAttention(
            vision_dim=vision_dim,
            text_dim=text_dim,
            embed_dim=embed_dim,
            num_heads=num_heads,
            dropout=dropout,
            clamp=clamp,
            stable_softmax=stable_softmax,
            text_output=both,
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.gamma_v = nn.Parameter(torch.full((vision_dim,), init_value))
        if both:
            self.gamma_l = nn.Parameter(torch.full((text_dim,), init_value))
        if self.separate:
            self.shrink = ShrinkText(text_dim, num_levels, dropout)

    def forward(
        self, features: Maps, hidden: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[Maps, torch.Tensor]:
        if not self.both:
            return self._words_to_image(features, hidden, mask), hidden
        if not self.separate:
            v, hidden = self._fuse(to_positions(features), hidden, mask)
            return to_maps(v, features), hidden
        pairs = [self._fuse(to_positions([level]), hidden, mask) for level in features]
        maps = tuple(to_maps(v, [level])[0] for (v, _), level in zip(pairs, features, strict=True))
        return maps, self.shrink(torch.cat([words for _, words in pairs], -1))

    def _fuse(
        self, v: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        v, hidden = self.norm_v(v), self.norm_l(hidden)
        seen, read = self.attention(v, hidden, mask)
        v = v + self.drop_path(self.gamma_v * seen)
        return v, hidden + self.drop_path(self.gamma_l * read)

    def _words_to_image(
        self, features: Maps, hidden: torch.Tensor, mask: torch.Tensor | None
    ) -> Maps:
        maps, words = [], self.norm_l(hidden)
        for number, level in enumerate(features):
            if self.renormalize and number:
                words = self.norm_l(words)
            v = self.norm_v(to_positions([level]))
            v = v + self.drop_path(self.gamma_v * self.attention(v, words, mask)[0])
            maps.append(to_maps(v, [level])[0])
        return tuple(maps)
