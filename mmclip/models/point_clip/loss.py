"""Cross entropy with label smoothing over the other classes."""

import torch
from torch import nn

from mmclip.registry import MODELS


@MODELS.register_module()
class SmoothCELoss(nn.Module):
    """Cross entropy to a target of 1 - eps, and eps / (K - 1) for each other class.

    Source: official ``smooth_loss`` (first DGCNN's). torch's ``label_smoothing`` gives eps / K to
    all K classes, the target too.

    Args:
        eps: Share of the other classes.

    Shapes:
        logits (B, K), labels (B,) int64 -> (), the mean over the batch, 0 of an empty one.

    Raises:
        ValueError: eps outside 0 to 1; one class only.
    """

    def __init__(self, *, eps: float = 0.2) -> None:
        super().__init__()
        if not 0 <= eps <= 1:
            raise ValueError(f'eps: {eps}; allowed are 0 to 1')
        self.eps = eps

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, K), (B,) -> ()."""
        if logits.shape[1] < 2:
            raise ValueError(f'logits: {logits.shape[1]} class; smoothing needs two or more')
        if not len(logits):
            return logits.sum()  # a mean over nothing would be NaN; this keeps the graph
        logs = logits.float().log_softmax(1)
        target = logs.gather(1, labels[:, None])[:, 0]
        others = (logs.sum(1) - target) / (logits.shape[1] - 1)
        return -((1 - self.eps) * target + self.eps * others).mean()
