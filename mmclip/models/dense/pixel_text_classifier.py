"""The classifier of a decode head with words in place of weights."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.dense.early_fusion import EarlyFusion
from mmclip.registry import MODELS


class PixelTextClassifier(BaseModule):
    """Names pixels: 1x1 convolution to D channels, then cosine to the embedded names.

    It takes the place of ``conv_seg`` in a decode head of the host.

    Args:
        channels: C of the features.
        classifier: Config of a :class:`mmclip.TextEmbeddingClassifier` with ``background=None``:
            in segmentation the background is a word of the list.
        early_fusion: Arguments of :class:`mmclip.models.dense.early_fusion.EarlyFusion` (``{}``
            for its defaults); None for none.

    Shapes:
        (B, C, H, W) -> (B, K, H, W) logits, float32; with ``pairs`` (B, P) (B, P, H, W).

    Raises:
        ValueError: the classifier has a background of its own.
    """

    def __init__(
        self, *, channels: int, classifier: dict[str, Any], early_fusion: dict | None = None
    ) -> None:
        super().__init__()
        self.classifier = MODELS.build({**classifier, 'background': classifier.get('background')})
        if self.classifier.background_mode is not None:
            raise ValueError(
                f'classifier: background={self.classifier.background_mode!r}; in segmentation the '
                "background is a word of the list, e.g. 'other': take background=None"
            )
        dim = self.classifier.embed_dim
        self.early_fusion = None
        if early_fusion is not None:
            self.early_fusion = EarlyFusion(channels=channels, text_dim=dim, **early_fusion)
        self.projection = nn.Conv2d(channels, dim, 1)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.classifier.num_classes

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, D, H, W), not normalized."""
        if self.early_fusion is not None:
            features = self.early_fusion(features, self.classifier.filled_embeddings())
        return self.projection(features)

    def forward(self, features: torch.Tensor, pairs: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of all names, or per image of the names that ``pairs`` (B, P) points at."""
        pixels = self.embed(features)
        with torch.autocast(pixels.device.type, enabled=False):
            # Channels stay first and the temperature goes to the words: no copy of the logits.
            normed = F.normalize(pixels.float(), dim=1).flatten(2)  # (B, D, H * W)
            words = self.classifier.filled_embeddings().float() / self.classifier.temperature
            words = words if pairs is None else words[pairs]  # (K, D) or (B, P, D)
            return torch.matmul(words, normed).unflatten(2, pixels.shape[2:])
