"""Text towers as encoders of sentences and of class names."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.common.causal_text import TOKENS_PER_BATCH, causal_tower, encode_causal
from mmclip.models.common.clip_loading import (
    build_clip,
    clip_embed_dim,
    clip_tokenizer,
    state_hash,
)
from mmclip.models.common.prompts import get_prompts
from mmclip.registry import MODELS


@MODELS.register_module()
class CLIPTextEncoder(BaseModule):
    """The frozen text tower of any open_clip model, and the image tower that shares its space.

    Building one reads no weights: the width comes from the model's name. The model is built when it is
    first needed. Causal towers take the exact fast path of :mod:`mmclip.models.common.causal_text`;
    the others run their own full length.

    Args:
        model: open_clip name, ``'mini_clip'``, path of a model json, or such a dict.
        pretrained: open_clip tag, ``'mini_clip'``, local file or folder; None for random weights.

    Raises:
        ValueError: unknown model.
    """

    def __init__(self, *, model: str | dict, pretrained: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.pretrained = pretrained
        self.embed_dim = clip_embed_dim(model)
        self._clip: list[nn.Module] = []  # a list, so that it is no sub-module of its user
        self._tokenizer = None
        self._hash = None

    @property
    def clip(self) -> nn.Module:
        """The open_clip model, built and filled at the first use."""
        if not self._clip:
            self._clip.append(build_clip(self.model, self.pretrained).requires_grad_(False))
        return self._clip[0]

    @property
    def name(self) -> str:
        """The model's name, as recorded in vocabulary files."""
        return self.model if isinstance(self.model, str) else 'custom'

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, T) int64 token ids; a text that is too long is cut before its end token, with a word."""
        if self._tokenizer is None:
            self._tokenizer = clip_tokenizer(self.model)
        ids = self._tokenizer(list(texts))
        # A full row may be a text that was cut; only those are looked at again.
        for row in (ids[:, -1] != 0).nonzero()[:, 0].tolist():
            if len(texts[row]) > 4 * ids.shape[1] or len(texts[row].split()) > ids.shape[1]:
                print_log(
                    f'a text of {len(texts[row])} characters is cut to {ids.shape[1]} tokens: '
                    f'{texts[row][:40]!r}...',
                    'current',
                    level=30,
                )
        return ids

    @torch.no_grad()
    def encode_tokens(self, groups: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Raw features of token ids in groups with a common start: (N_g, T) each -> (N_g, D) each."""
        tower = causal_tower(self.clip)
        if tower is not None:
            return encode_causal(tower, groups)
        return [
            torch.cat(
                [
                    self.clip.encode_text(chunk)
                    for chunk in ids.split(max(1, TOKENS_PER_BATCH // ids.shape[1]))
                ]
            )
            for ids in groups
        ]

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised embeddings (N, D), float32, of sentences."""
        if not texts:
            return torch.empty(0, self.embed_dim)
        return F.normalize(self.encode_tokens([self.tokenize(texts)])[0].float(), dim=-1)

    def encode_names(
        self, names: Sequence[str], prompts: str | Sequence[str] = 'single'
    ) -> torch.Tensor:
        """L2-normalised embeddings (K, D), float32, of class names.

        Each sentence is normalised, the mean over a name's sentences is normalised again (as in
        OpenAI's ImageNet notebook; averaging first gives other numbers).

        Args:
            names: K class names.
            prompts: As :func:`mmclip.models.common.prompts.get_prompts`.
        """
        if not names:
            return torch.empty(0, self.embed_dim)
        per_template = zip(*map(get_prompts(prompts).format, names), strict=True)
        groups = [self.tokenize(sentences) for sentences in per_template]
        features = torch.stack(self.encode_tokens(groups)).float()  # (P, K, D)
        return average_prompts(features.transpose(0, 1))

    def weight_hash(self) -> str:
        """16 hexadecimal digits that tell this tower's weights from any other's."""
        if self._hash is None:
            tower = causal_tower(self.clip)
            if tower is None or hasattr(self.clip, 'text'):
                state = {k: v for k, v in self.clip.state_dict().items() if k.startswith('text')}
            else:
                state = {
                    k: v for k, v in self.clip.state_dict().items() if not k.startswith('visual.')
                }
            state.pop('logit_scale', None)
            self._hash = state_hash(state)
        return self._hash


def average_prompts(features: torch.Tensor) -> torch.Tensor:
    """(K, P, D) raw features of P sentences per name -> (K, D) normalise, average, normalise."""
    return F.normalize(F.normalize(features, dim=-1).mean(1), dim=-1)
