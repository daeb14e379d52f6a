"""A linear probe: one layer over a frozen image tower."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.loading import clip_embed_dim
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts


@MODELS.register_module()
class LinearClassifier(OpenVocabularyMixin, BaseModule):
    """logits = W f + b over the raw image feature f.

    Source: the paper's section 3.2 fits W and b by L-BFGS with an L2 penalty that is searched on a
    validation split; here they are trained by the config's optimizer, whose weight decay is that
    penalty.

    Args:
        model: The CLIP whose features are classified; gives D.
        classes: K names; or K, and the names are those of the dataset.

    Shapes:
        (B, D) -> (B, K), float32.

    Raises:
        ValueError: unknown model, bad names.
    """

    def __init__(self, *, model: str | dict, classes: str | Sequence[str] | int) -> None:
        super().__init__()
        self.class_names = () if isinstance(classes, int) else class_names(classes)
        self.embed_dim = clip_embed_dim(model)
        count = classes if isinstance(classes, int) else len(self.class_names)
        self.fc = nn.Linear(self.embed_dim, count)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) -> (B, K)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.fc(features.float())

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """The names that it was built for, or as many; then nothing else.

        Raises:
            ValueError: other names, or another number.
        """
        if len(names) != self.fc.out_features or names != (self.class_names or names):
            raise ValueError(
                f'names: a linear probe knows the {self.fc.out_features} classes that it is '
                f'trained for only, here are {len(names)}, from {names[0]!r} on; set '
                f'head.classes={len(names)} and train it, or use mmclip.TextEmbeddingClassifier '
                'as head to name others'
            )
        self.class_names = names
