"""Labels out of data samples, and predictions into them."""

import torch
from mmengine.structures import BaseDataElement


def labels_of(data_samples: list[BaseDataElement] | None, device: torch.device) -> torch.Tensor:
    """``gt_label`` of B samples: (B,) int64.

    Raises:
        ValueError: no samples, or one without ``gt_label``.
    """
    if data_samples is None or any('gt_label' not in sample for sample in data_samples):
        raise ValueError("data_samples: mode 'loss' needs samples with gt_label")
    if not data_samples:
        return torch.empty(0, dtype=torch.int64, device=device)
    labels = torch.stack([sample.gt_label.reshape(()) for sample in data_samples])
    return labels.to(device).long()


def predicted(
    scores: torch.Tensor,
    data_samples: list[BaseDataElement] | None,
    view_scores: torch.Tensor | None = None,
) -> list[BaseDataElement]:
    """Samples with ``pred_scores`` (K,), ``pred_label`` and, if given, ``view_scores`` (V, K).

    Shapes:
        scores (B, K), view_scores (B, V, K).
    """
    if data_samples is None:
        data_samples = [BaseDataElement() for _ in range(len(scores))]
    labels = scores.argmax(-1)
    for index, sample in enumerate(data_samples):
        sample.pred_scores = scores[index]
        sample.pred_label = labels[index]
        if view_scores is not None:
            sample.view_scores = view_scores[index]
    return data_samples
