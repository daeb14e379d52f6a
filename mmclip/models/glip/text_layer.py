"""The text layers between two fusions: BERT's, and CLIP's."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.glip.bi_attention import CLAMP, word_penalty
from mmclip.models.glip.text_encoder import CLIPTokenBlock

KINDS = ('bert', 'clip')


def clamped(x: torch.Tensor) -> torch.Tensor:
    """Within the official code's limits."""
    return x.clamp(-CLAMP, CLAMP)


class BertFusionLayer(BaseModule):
    """One layer of BERT, its intermediate values clamped to +-50000.

    Source: official ``BertEncoderLayer``.

    Args:
        dim: C.
        num_heads: Heads.
        hidden_dim: Of the perceptron.
        dropout: Of the attention and behind both parts.
        eps: Of the norms.

    Shapes:
        hidden (B, T, C), mask (B, T) bool -> (B, T, C).

    Raises:
        ValueError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int = 12,
        hidden_dim: int = 3072,
        dropout: float = 0.1,
        eps: float = 1e-12,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if dim % num_heads:
            raise ValueError(f'num_heads: {num_heads} heads do not divide the width {dim}')
        self.num_heads, self.dropout = num_heads, dropout
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.attention_out = nn.Linear(dim, dim)
        self.attention_norm = nn.LayerNorm(dim, eps=eps)
        self.intermediate = nn.Linear(dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, dim)
        self.output_norm = nn.LayerNorm(dim, eps=eps)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout, self.training)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        query, key, value = (
            self._heads(layer(hidden)) for layer in (self.query, self.key, self.value)
        )
        logits = clamped(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5)
        penalty = word_penalty(mask, logits.dtype)
        logits = logits if penalty is None else logits + penalty
        context = (self._drop(logits.softmax(-1)) @ value).transpose(1, 2).flatten(2)
        hidden = self.attention_norm(self._drop(self.attention_out(context)) + hidden)
        inner = clamped(F.gelu(clamped(self.intermediate(hidden))))
        output = self._drop(clamped(self.output(inner)))
        return clamped(self.output_norm(output + hidden))


class CLIPFusionLayer(CLIPTokenBlock):
    """One layer of CLIP's text tower that looks both ways.

    Args:
        dim: C.
        num_heads: Heads.
        drop_path: Stochastic depth.

    Shapes:
        hidden (B, T, C), mask (B, T) bool -> (B, T, C).
    """

    def __init__(self, *, dim: int, num_heads: int, drop_path: float = 0.0) -> None:
        super().__init__(dim, num_heads, quick_gelu=True, eps=1e-12, drop_path=drop_path)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is None:
            mask = hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
        return super().forward(hidden, ~mask.bool(), None)


def build_text_layer(kind: str, dim: int, **settings: object) -> nn.Module:
    """A text layer by name.

    Raises:
        ValueError: an unknown name.
    """
    if kind not in KINDS:
        raise ValueError(f'text_layer: {kind!r}; allowed are {", ".join(KINDS)}')
    layer = BertFusionLayer if kind == 'bert' else CLIPFusionLayer
    return layer(dim=dim, **settings)
