"""The head that names hidden words."""

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule
from torch import nn

from mmclip.registry import MODELS

IGNORED = -100


@MODELS.register_module()
class MLMHead(BaseModule):
    """A linear layer, GELU and a norm, then a score for each word of the vocabulary.

    Source: ``BertLMPredictionHead`` as the official code uses it: fed with the word features of the
    alignment, with a decoder of its own (not the embedding's weights).

    Args:
        embed_dim: D of a token.
        vocab_size: V.
        eps: Of the norm.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: sizes that are not positive.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        vocab_size: int,
        eps: float = 1e-12,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dim < 1 or vocab_size < 1:
            raise ValueError(
                f'embed_dim: {embed_dim}, vocab_size: {vocab_size}; both must be positive'
            )
        self.dense = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim, eps=eps)
        self.decoder = nn.Linear(embed_dim, vocab_size)
        self.loss_weight = loss_weight
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.normal_(self.decoder.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., V) logits."""
        return self.decoder(self.norm(F.gelu(self.dense(hidden))))

    def loss(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the tokens of all processes that have a label.

        Scores are computed for those tokens only. Without any the loss is 0 with a graph. The
        official code averages over a process's own tokens.

        Args:
            hidden: Word features.
            labels: The right word of each hidden token, -100 for the others.

        Shapes:
            (B, T, D), (B, T) int64 -> ().
        """
        asked = labels != IGNORED
        logits = self(hidden[asked]).float()
        total = F.cross_entropy(logits, labels[asked], reduction='sum')
        return self.loss_weight * total / reduce_mean(asked.sum().float()).clamp(min=1)
