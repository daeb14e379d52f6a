"""The trainable text tower: CLIP's, the same with random weights, or one of transformers'."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.causal_text import encode_causal, encode_tokens, tokens_per_batch
from mmclip.clip.causal_tower import causal_tower
from mmclip.clip.layers import build_text_tower
from mmclip.clip.loading import clip_config, clip_tokenizer
from mmclip.clip.options import trusted_config, without_code

PRETRAINED = ('clip', 'random')
_FIELDS = {'name', 'config', 'context_length', 'pretrained'}
_CONFIG = (
    "give the fields of its config.json, e.g. config=dict(model_type='roberta', vocab_size=50265, "
    '...), or download it and name the folder'
)


class TransformersTower(nn.Module):
    """A transformers encoder (BERT ...): hidden state of the first token, projected.

    Building it reads a local folder's ``config.json`` at most; :meth:`load_pretrained` brings the
    weights.

    Args:
        name: Local folder, or name on the hub (weights and tokenizer are downloaded at first use).
        embed_dim: D.
        config: Fields of the architecture, with ``model_type``; None reads the folder, and is
            BERT-base for ``'bert-base-uncased'`` on the hub.
        context_length: Tokens at most.

    Raises:
        ValueError: another name on the hub without ``config``.
    """

    def __init__(
        self, *, name: str, embed_dim: int, config: dict | None = None, context_length: int = 77
    ) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel  # seconds: only for those who use it

        if config is None and Path(name).is_dir():
            settings = trusted_config(name, 'text_tower.name')
        elif config is None and name.removeprefix('google-bert/') != 'bert-base-uncased':
            raise ValueError(f'text_tower.config: {name!r} is no local folder; {_CONFIG}')
        else:
            settings = AutoConfig.for_model(**(config or dict(model_type='bert')))
        self.name = name
        self.context_length = context_length
        self.transformer = AutoModel.from_config(settings, trust_remote_code=False)
        if hasattr(self.transformer, 'pooler'):
            self.transformer.pooler = None  # nothing reads it
        self.projection = nn.Linear(settings.hidden_size, embed_dim, bias=False)
        self.pad = settings.pad_token_id or 0
        self._tokenizer = None

    def load_pretrained(self) -> None:
        """Load the weights; the projection stays random.

        Raises:
            ValueError: weights of another architecture than ``config``.
        """
        from transformers import AutoModel

        settings = trusted_config(self.name, 'text_tower.name')
        loaded = AutoModel.from_pretrained(self.name, config=settings, trust_remote_code=False)
        loaded = loaded.state_dict()
        state = {k: v for k, v in loaded.items() if not k.startswith('pooler.')}
        try:
            self.transformer.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f'text_tower.config: the weights of {self.name!r} do not fit; {_CONFIG} ({error})'
            ) from error

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """N texts -> (N, T) ids, padded to the longest of them."""
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            with without_code(f'text_tower.name: {self.name!r}'):
                self._tokenizer = AutoTokenizer.from_pretrained(self.name, trust_remote_code=False)
        return self._tokenizer(
            list(texts),
            padding='longest',
            truncation=True,
            max_length=self.context_length,
            return_tensors='pt',
        )['input_ids']

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(N, T) -> (N, D), raw."""
        mask = (ids != self.pad).long()
        out = self.transformer(input_ids=ids, attention_mask=mask)
        return self.projection(out.last_hidden_state[:, 0])


class ActionTextTower(BaseModule):
    """Sentences to raw features, with gradients for training and without for a whole vocabulary.

    CLIP's tower is causal: padding is skipped in training, and a vocabulary shares what its
    sentences have in common (:mod:`mmclip.clip.causal_text`); both are exact.

    Args:
        model: CLIP's architecture, which gives D and, unless ``tower`` is a dict, the tower.
        tower: ``'clip'`` (CLIP's weights), ``'random'`` (the same, untrained), or
            ``dict(name=..., config=..., context_length=...)`` for a :class:`TransformersTower`;
            ``pretrained=False`` in it leaves that one untrained.

    Raises:
        ValueError: another ``tower``.
    """

    def __init__(self, *, model: str | dict, tower: str | dict = 'clip') -> None:
        super().__init__()
        config = clip_config(model)
        self.model = model
        self.embed_dim = config['embed_dim']
        if isinstance(tower, dict):
            settings = dict(tower)
            if 'name' not in settings or settings.keys() - _FIELDS:
                raise ValueError(
                    f'text_tower: {settings}; a dict has the name of a transformers model or a '
                    f'folder, and may have others of {sorted(_FIELDS)}'
                )
            self.source = 'transformers' if settings.pop('pretrained', True) else 'random'
            self.tower = TransformersTower(embed_dim=self.embed_dim, **settings)
        elif tower in PRETRAINED:
            self.source = tower
            text = dict(config['text_cfg'])
            if text.get('hf_model_name'):
                raise ValueError(
                    f'model: {model!r} has a Hugging Face text tower; give it as text_tower=dict('
                    f'name={text["hf_model_name"]!r})'
                )
            quick_gelu = config.get('quick_gelu', False)
            self.tower = build_text_tower(self.embed_dim, text, quick_gelu)
        else:
            raise ValueError(f'text_tower: {tower!r} is none of {PRETRAINED} and no dict')
        self._tokenizer = None

    def init_weights(self) -> None:
        """Load transformers' weights; CLIP's come from the recognizer."""
        if self.source == 'transformers':
            self.tower.load_pretrained()

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """N texts -> (N, T) int64 ids."""
        if isinstance(self.tower, TransformersTower):
            return self.tower.tokenize(texts)
        if self._tokenizer is None:
            self._tokenizer = clip_tokenizer(self.model)
        return self._tokenizer(list(texts))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(N, T), on the CPU or with the tower, -> (N, D), raw, with gradients."""
        if isinstance(self.tower, TransformersTower) or causal_tower(self.tower) is None:
            return self.tower(ids.to(next(self.parameters()).device))
        return encode_tokens(self.tower, ids)

    @torch.no_grad()
    def encode_all(self, ids: torch.Tensor) -> torch.Tensor:
        """Features of a whole vocabulary: (P, K, T) ids -> (P, K, D), raw, float32."""
        device = next(self.parameters()).device
        tower = None
        if not isinstance(self.tower, TransformersTower):
            tower = causal_tower(self.tower)
        if tower is not None:
            return torch.stack([f.float() for f in encode_causal(tower, list(ids))])
        step = max(1, tokens_per_batch(device) // ids.shape[2])
        parts = [self.tower(part.to(device)).float() for part in ids.flatten(0, 1).split(step)]
        return torch.cat(parts).unflatten(0, ids.shape[:2])
