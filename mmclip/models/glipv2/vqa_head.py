"""Answers to questions about images, as classes."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.registry import MODELS

POOLS = ('first', 'mean')


@MODELS.register_module()
class VQAHead(BaseModule):
    """A perceptron from the pooled fused text to a score for each answer.

    The question is the text that the fusion reads; its first token, or the mean of its words, goes
    through a layer twice as wide, a norm and GELU. The loss is the binary cross-entropy with soft
    scores (VQAv2: the share of the annotators, at most 1), summed over answers.

    Source: GLIPv2, section 4 and appendix: fine-tuning on VQAv2's 3129 answers. The official code
    has no such head; widths and the sum follow what is common for VQAv2.

    Args:
        embed_dim: D of a token.
        num_answers: K.
        hidden: Width of the layer; None for 2 D.
        pool: The ``'first'`` token ([CLS]) or the ``'mean'`` over the words.
        dropout: In front of the last layer.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: an unknown pool; sizes that are not positive.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_answers: int = 3129,
        hidden: int | None = None,
        pool: str = 'first',
        dropout: float = 0.0,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if pool not in POOLS:
            raise ValueError(f'pool: {pool!r}; allowed are {", ".join(map(repr, POOLS))}')
        hidden = 2 * embed_dim if hidden is None else hidden
        if min(embed_dim, num_answers, hidden) < 1:
            raise ValueError(
                f'embed_dim: {embed_dim}, num_answers: {num_answers}, hidden: {hidden}; all must '
                'be positive'
            )
        self.layers = nn.Sequential(
            nn.Linear(embed_dim, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_answers),
        )
        self.pool, self.loss_weight = pool, loss_weight

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the answers.

        Shapes:
            (B, T, D) fused words, (B, T) True for words -> (B, K).
        """
        if self.pool == 'first':
            pooled = hidden[:, 0]
        else:
            real = mask[..., None].to(hidden.dtype)
            pooled = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
        return self.layers(pooled)

    def loss(self, hidden: torch.Tensor, mask: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Mean over questions of the cross-entropies summed over answers.

        Args:
            hidden, mask: As :meth:`forward`.
            scores: How right each answer is, 0 to 1.

        Shapes:
            (B, T, D), (B, T), (B, K) -> ().
        """
        logits = self(hidden, mask).float()
        total = F.binary_cross_entropy_with_logits(logits, scores.float(), reduction='sum')
        return self.loss_weight * total / max(len(logits), 1)
