"""What stands in the place of a box head's last linear layer: projection, then text classifier."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.registry import MODELS


@MODELS.register_module()
class ProjectedTextClassifier(BaseModule):
    """Region features to class logits through CLIP's space: ``classifier(W x + b)``.

    A box head builds it through the host's ``cls_predictor_cfg``, so no closed-set layer is ever
    made.

    Source: ViLD, figure 3; 'project-to-clip' in the official code.

    Args:
        in_features: Width C of the region features; given by the host.
        out_features: Number of columns that the host expects; the names decide, so it is not used.
        classifier: A built text classifier
            (:class:`mmclip.models.common.text_classifier.TextEmbeddingClassifier`).
        class_chunk: With more classes than this, inference gets what the logits are made of.

    Shapes:
        (N, C) -> (N, K + 1) logits, background last; (N, K) if the classifier has no background.
        With more than ``class_chunk`` classes, and not in training, (N, D + 1) or (N, D): the
        unit-norm projection and the logit of the background. Logits are linear in it, so a cascade
        may average it over its stages.
    """

    def __init__(
        self, *, in_features: int, out_features: int, classifier: nn.Module, class_chunk: int = 8192
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(in_features, classifier.embed_dim)
        self.classifier = classifier
        self.class_chunk = class_chunk

    @property
    def in_chunks(self) -> bool:
        """Whether there are too many classes for all their logits at once."""
        return not self.training and self.classifier.num_classes > self.class_chunk

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C) -> (N, K + 1), (N, K), or (N, D + 1), (N, D) in chunks."""
        projected = self.projection(features)
        if not self.in_chunks:
            return self.classifier(projected)
        normed = F.normalize(projected.float(), dim=-1)
        return torch.cat([normed, self.classifier.background_logits(normed)], -1)
