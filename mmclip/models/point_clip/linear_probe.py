"""A linear probe on the features of all views: PointCLIP's control without words."""

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.loading import clip_embed_dim
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class ViewLinearClassifier(OpenVocabularyMixin, BaseModule):
    """logits = sum_v W_v f_v + b over the unit features of V views: one layer over V C numbers.

    A head of :class:`mmclip.PointCLIPClassifier` with ``fuse='cosine'``, trained instead of an
    adapter. It stands beside the adapter in few-shot tables: what both reach, words did not do.

    Args:
        model: The CLIP whose features are classified; gives C.
        num_views: V.
        classes: K; the names are those of the dataset.
        scale: Of the features, so that a step of an optimizer does more.

    Shapes:
        (B, V, C) -> (B, V, K) float32: each view's share.

    Raises:
        ValueError: unknown model; a number below 1.
    """

    background_mode = None
    is_filled = True

    def __init__(
        self, *, model: str | dict, num_views: int, classes: int, scale: float = 1.0
    ) -> None:
        super().__init__()
        if num_views < 1 or classes < 1:
            raise ValueError(f'num_views, classes: {num_views} and {classes}; both start at 1')
        self.embed_dim, self.scale = clip_embed_dim(model), scale
        self.weight = nn.Parameter(torch.zeros(num_views, self.embed_dim, classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def class_logits(self, features: torch.Tensor) -> torch.Tensor:
        """(B, V, C) -> (B, V, K)."""
        views = len(self.weight)
        if features.shape[1] != views:
            raise ValueError(f'num_views: {views}, the projector shows {features.shape[1]}')
        shares = torch.einsum('bvc,vck->bvk', features.float() * self.scale, self.weight)
        return shares + self.bias / views

    def update_vocabulary(self, names: tuple[str, ...], prompts: Any, examples: Any) -> None:
        """Take as many names as it was built for.

        Raises:
            ValueError: another number.
        """
        if len(names) != len(self.bias):
            raise ValueError(
                f'names: the probe was built for {len(self.bias)} classes, here are {len(names)}; '
                f'set head.classes={len(names)} and train it'
            )
        self.class_names = names
