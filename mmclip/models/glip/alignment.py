"""Logits between places of an image and tokens of a text."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.glip.bi_attention import CLAMP
from mmclip.registry import MODELS


@MODELS.register_module()
class TokenAlignment(BaseModule):
    """<x, W (e / 2) + c> / exp(log_scale) + <e, bias_lang> + bias0, e the normalized word feature.

    What depends on words only, :meth:`project`, can be kept for a vocabulary.

    Source: GLIP equation 3; official ``VLDyHead`` (``dot_product_projection_text``). Clamped to
    +-50000 as there.

    Args:
        channels: C of the maps.
        text_dim: C_l of the words.
        prior_prob: The probability that ``bias0`` starts with.
        log_scale: Where it starts.

    Shapes:
        project: (B, T, C_l) -> (B, T, C), (B, T). forward: (B, N, C) and those -> (B, N, T).
    """

    def __init__(
        self,
        *,
        channels: int,
        text_dim: int,
        prior_prob: float = 0.01,
        log_scale: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.projection = nn.Linear(text_dim, channels)
        self.log_scale = nn.Parameter(torch.tensor([float(log_scale)]))
        self.bias_lang = nn.Parameter(torch.zeros(text_dim))
        self.bias0 = nn.Parameter(torch.tensor([-math.log((1 - prior_prob) / prior_prob)]))

    def project(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        words = F.normalize(words, dim=-1)
        weights = self.projection(words / 2) / self.log_scale.exp()
        return weights, words @ self.bias_lang + self.bias0

    def forward(
        self, features: torch.Tensor, projected: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        weights, bias = projected
        return torch.baddbmm(
            bias[:, None].to(features.dtype), features, weights.transpose(1, 2).to(features.dtype)
        ).clamp(-CLAMP, CLAMP)


@MODELS.register_module()
class ContrastiveAlignment(BaseModule):
    """MDETR's: both sides projected and normalized, cosine / exp(log_scale). An ablation.

    Source: official ``VLDyHead`` (``contrastive_align_projection_*``) and ``FeatureResizer``.

    Args:
        channels: C of the maps.
        text_dim: C_l of the words; another width than C is brought to C first.
        hidden_dim: Width in which they meet.
        log_scale: Where it starts.
        dropout: Behind the resizing.

    Shapes:
        As :class:`TokenAlignment`.
    """

    def __init__(
        self,
        *,
        channels: int,
        text_dim: int,
        hidden_dim: int = 64,
        log_scale: float = 0.0,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.resize = nn.Identity()
        if text_dim != channels:
            self.resize = nn.Sequential(
                nn.Linear(text_dim, channels),
                nn.LayerNorm(channels, eps=1e-12),
                nn.Dropout(dropout),
            )
        self.image_projection = nn.Linear(channels, hidden_dim)
        self.text_projection = nn.Linear(channels, hidden_dim)
        self.log_scale = nn.Parameter(torch.tensor([float(log_scale)]))

    def project(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        words = F.normalize(self.text_projection(self.resize(words)), dim=-1)
        return words, words.new_zeros(words.shape[:2])

    def forward(
        self, features: torch.Tensor, projected: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        features = F.normalize(self.image_projection(features), dim=-1)
        return features @ projected[0].transpose(1, 2) / self.log_scale.exp()


@MODELS.register_module()
class FixedTokenAlignment(BaseModule):
    """Logits of token places without reading the words: token t is output t, whatever stands there.

    An ablation of the official code (``USE_TOKEN_LOSS``, MDETR's soft tokens): with a fusion the
    image has read the words, without one it can only learn a fixed caption.

    Args:
        channels: C of the maps.
        text_dim: Not used.
        max_tokens: Most tokens of a text.
        prior_prob: The probability that the biases start with.

    Shapes:
        As :class:`TokenAlignment`.

    Raises:
        ValueError: a text of more tokens.
    """

    def __init__(
        self,
        *,
        channels: int,
        text_dim: int | None = None,
        max_tokens: int = 256,
        prior_prob: float = 0.01,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.token_logits = nn.Linear(channels, max_tokens)
        nn.init.normal_(self.token_logits.weight, std=0.01)
        nn.init.constant_(self.token_logits.bias, -math.log((1 - prior_prob) / prior_prob))

    def project(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        limit = self.token_logits.out_features
        if words.shape[1] > limit:
            raise ValueError(f'max_tokens: {limit}, but the text has {words.shape[1]} tokens')
        return words[..., :0], words.new_zeros(words.shape[:2])

    def forward(
        self, features: torch.Tensor, projected: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        return self.token_logits(features)[..., : projected[1].shape[1]]
