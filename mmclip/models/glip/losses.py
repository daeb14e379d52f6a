"""Losses over tokens."""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from mmclip.registry import MODELS

VERSIONS = ('binary', 'binaryv2', 'softmax')


@MODELS.register_module()
class TokenFocalLoss(nn.Module):
    """Focal loss of each place against each token that is no padding.

    ``'binary'``: sigmoid focal loss. ``'binaryv2'``: the same with 1e-8 added to probabilities,
    over padding too. ``'softmax'``: - sum_t y_t w_t log p_t for targets y that sum to 1, with
    w_t = (max(y_t - p_t, 0.001) / y_t)^gamma; the last token of the text stands for 'no object' and
    is never padding there. GLIP is trained with 'binary'.

    Source: official ``TokenSigmoidFocalLoss``.

    Args:
        alpha: Weight of positives; below 0 there is none. Not of 'softmax'.
        gamma: Of the focal factor.
        version: ``'binary'``, ``'binaryv2'`` or ``'softmax'``.
        loss_weight: Factor.

    Shapes:
        logits, targets (B, N, T), mask (B, T) bool or None -> scalar: the sum, divided by
        ``avg_factor``.

    Raises:
        ValueError: an unknown version.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        version: str = 'binary',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if version not in VERSIONS:
            raise ValueError(f'version: {version!r}; allowed are {", ".join(VERSIONS)}')
        self.alpha, self.gamma, self.version = alpha, gamma, version
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float = 1.0,
    ) -> torch.Tensor:
        logits, targets = logits.float(), targets.float()
        if self.version == 'softmax':
            loss = self._softmax(logits, targets, mask)
        elif self.version == 'binaryv2':
            loss = self._binary_v2(logits, targets)
        else:
            loss = sigmoid_focal_loss(logits, targets, alpha=self.alpha, gamma=self.gamma)
            if mask is not None:
                loss = loss * mask[:, None].to(loss.dtype)
        return self.loss_weight * loss.sum() / avg_factor

    def _binary_v2(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        probs = logits.sigmoid()
        chosen = torch.where(targets > 0, probs, 1 - probs) + 1e-8
        loss = -((1 - chosen) ** self.gamma) * chosen.log()
        if self.alpha < 0:
            return loss
        return loss * torch.where(targets > 0, self.alpha, 1 - self.alpha)

    def _softmax(
        self, logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        if mask is not None:
            mask = mask.bool().clone()
            mask[:, -1] = True
            logits = logits.masked_fill(~mask[:, None], -1e6)
        targets = targets / (targets.sum(-1, keepdim=True) + 1e-6)
        filled = targets.masked_fill(targets == 0, 1.0)
        weight = ((targets - logits.softmax(-1)).clamp(min=0.001) / filled) ** self.gamma
        return -targets * weight * F.log_softmax(logits, -1)


@MODELS.register_module()
class ContrastiveTokenLoss(nn.Module):
    """MDETR's contrastive alignment, for :class:`mmclip.ContrastiveAlignment`.

    Of each place with words: -mean over its words of the logits + log sum exp over all words; of
    each word with places the same over all places; half the sum of both.

    Source: official ``ContrastiveAlignLoss``, whose sums run over padding too.

    Args:
        loss_weight: Factor.

    Shapes:
        As :class:`TokenFocalLoss`.
    """

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float = 1.0,
    ) -> torch.Tensor:
        logits, positive = logits.float(), targets > 0
        if mask is not None:
            positive = positive & mask.bool()[:, None]
            logits = logits.masked_fill(~mask.bool()[:, None], torch.finfo(logits.dtype).min)
        chosen, total = logits.masked_fill(~positive, 0), logits.new_zeros(())
        for dim in (2, 1):  # words of a place, places of a word
            found = positive.any(dim)
            count = positive.sum(dim) + 1e-6
            terms = logits.logsumexp(dim) - chosen.sum(dim) / count
            total = total + terms.masked_fill(~found, 0).sum() / 2
        return self.loss_weight * total / avg_factor
