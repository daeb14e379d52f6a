"""What stands in the place of a box head's last linear layer: projection, then text classifier."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.registry import MODELS


@MODELS.register_module()
class ProjectedTextClassifier(BaseModule):
    """Region features into CLIP's space (``forward``), and from there to class logits (``logits``).

    A box head builds it through the host's ``cls_predictor_cfg``, so no closed-set layer is ever
    made. The embedding between both is what distillation works on.

    Source: ViLD, figure 3; 'project-to-clip' in the official code.

    Args:
        in_features: Width C of the region features; given by the host.
        out_features: Number of columns that the host expects; the names decide, so it is not used.
        classifier: A built text classifier
            (:class:`mmclip.vocabulary.classifier.TextEmbeddingClassifier`).
        class_chunk: With more classes than this, inference gets what the logits are made of.
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
        """(N, C) -> (N, D), not normalized."""
        return self.projection(features)

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings -> (N, K + 1) logits, background last; (N, K) if there is none.

        With more than ``class_chunk`` classes, and not in training, what the logits are made of:
        (N, D + 1), the unit-norm embedding and the logit of the background. Logits are linear in
        it, so a cascade may average it over its stages.
        """
        if not self.in_chunks:
            return self.classifier(embeddings)
        normed = F.normalize(embeddings.float(), dim=-1)
        return torch.cat([normed, self.classifier.background_logits(normed)], -1)
