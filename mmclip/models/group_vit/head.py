"""GroupViT's text tower, projections, losses and zero-shot decoding, as a decode head."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.cached_gradients import in_chunks
from mmclip.clip.causal_text import causal_tower, encode_causal, encode_tokens
from mmclip.clip.contrastive_loss import contrastive_loss
from mmclip.clip.layers import QuickGELU, TextTransformer
from mmclip.clip.tokenizer import SimpleTokenizer
from mmclip.models.dense.early_fusion import EarlyFusion
from mmclip.models.group_vit.encoder import Grouping
from mmclip.models.group_vit.losses import multi_label_loss
from mmclip.models.group_vit.zero_shot import group_index, group_scores, paint, with_background
from mmclip.registry import MODELS
from mmclip.text.class_names import names_at_build
from mmclip.text.prompts import get_prompts
from mmclip.vocabulary.embedding_cache import EmbeddingCache
from mmclip.vocabulary.exemplars import encode_examples
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts

MAX_SCALE = 100.0


class Projector(nn.Module):
    """Linear, batch norm, ReLU, linear: (..., C) -> (..., D); normed over all other axes.

    Args:
        in_dim: C.
        hidden: 4096 in the official models.
        out_dim: D.
        norm_cfg: The batch norm, e.g. ``dict(type='SyncBN')``.

    Raises:
        ValueError: one row in training, of which there is no variance.
    """

    def __init__(self, in_dim: int, hidden: int, out_dim: int, norm_cfg: dict) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden)
        self.bn = build_norm_layer(norm_cfg, hidden)[1]
        self.fc2 = nn.Linear(hidden, out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.fc1(x.flatten(0, -2))
        try:
            normed = self.bn(rows)
        except ValueError as error:
            if len(rows) > 1:
                raise
            raise ValueError(
                'a batch of one image: batch norm has nothing to average over and a contrastive '
                'loss nothing to compare; set train_dataloader.batch_size to 2 or more (per '
                'process), and train_dataloader.drop_last=True if the last batch is too small'
            ) from error
        return self.fc2(F.relu(normed)).unflatten(0, x.shape[:-1])


def build_text_tower(
    *, width: int = 256, layers: int = 12, context_length: int = 77, vocab_size: int = 49408
) -> TextTransformer:
    """CLIP's causal text transformer without an output projection; heads of 64 channels."""
    return TextTransformer(
        context_length=context_length,
        vocab_size=vocab_size,
        width=width,
        heads=max(width // 64, 1),
        layers=layers,
        output_dim=None,
        act_layer=QuickGELU,
        norm_layer=nn.LayerNorm,
    )


@MODELS.register_module()
class GroupViTHead(OpenVocabularyMixin, BaseModule):
    """Learns from captions which words belong to an image, and names groups by words.

    Training: L = contrastive(image, caption) + weight * multi-label(image, noun prompts), each
    with a scale of its own (exp of a weight, at most 100). Testing: see
    :mod:`mmclip.models.group_vit.zero_shot`.

    Source: GroupViT, sections 3.2 and 3.3; the official code.

    Args:
        in_channels: C of the image encoder.
        classes: ``'dataset'`` for those of the dataset (none until it is asked), words, or a
            known vocabulary; ``set_classes`` changes them. If the
            first one is ``background``, it gets no prompt: it is what no other word names.
        text: Arguments of :func:`build_text_tower`.
        embed_dim: D of the common space.
        hidden: Width inside the projectors.
        prompts: Sentences around the words in testing.
        background: The word that stands for the background.
        multi_label: Noun prompts per image, K; 0 for the first loss only.
        multi_label_weight: Weight of the second loss.
        share_temperature: Both losses use the first scale.
        temperature: Both start at this one.
        norm_cfg: Batch norm of the projectors; with several processes ``dict(type='SyncBN')``.
        early_fusion: Not in the paper: the tokens read the words first. Arguments of
            :class:`mmclip.models.dense.early_fusion.EarlyFusion` (``{}`` for its defaults); None
            for none. In training the words are the noun prompts of the batch (its captions if
            there are none), in testing the classes.
        chunk_size: Texts at a time in training, None for all:
            :func:`mmclip.clip.cached_gradients.in_chunks`.

    Raises:
        ValueError: bad classes or prompts, a negative ``multi_label``.
    """

    align_corners = False
    threshold = math.inf  # one word without a background: the host's rule gives it every pixel

    def __init__(
        self,
        *,
        in_channels: int,
        classes: str | Sequence[str] = 'dataset',
        text: Mapping[str, int] | None = None,
        embed_dim: int = 256,
        hidden: int = 4096,
        prompts: str | Sequence[str] = 'single',
        background: str = 'background',
        multi_label: int = 3,
        multi_label_weight: float = 1.0,
        share_temperature: bool = False,
        temperature: float = 0.07,
        norm_cfg: dict | None = None,
        early_fusion: Mapping[str, int] | None = None,
        chunk_size: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if multi_label < 0:
            raise ValueError(f'multi_label: {multi_label}; allowed are 0 and more prompts')
        get_prompts(prompts)
        self.text_tower = build_text_tower(**(text or {}))
        norm_cfg = norm_cfg or dict(type='BN1d')
        self.image_projector = Projector(in_channels, hidden, embed_dim, norm_cfg)
        self.text_projector = Projector(self.text_tower.width, hidden, embed_dim, norm_cfg)
        self.early_fusion = None
        if early_fusion is not None:
            self.early_fusion = EarlyFusion(
                channels=in_channels, text_dim=embed_dim, **early_fusion
            )
        scale = torch.tensor(-math.log(temperature))
        self.logit_scale = nn.Parameter(scale.clone())
        self.multi_label_logit_scale = None
        if multi_label and not share_temperature:
            self.multi_label_logit_scale = nn.Parameter(scale.clone())
        self.embed_dim, self.background = embed_dim, background
        self.multi_label, self.multi_label_weight = multi_label, multi_label_weight
        self.chunk_size = chunk_size
        self._tokenizer: SimpleTokenizer | None = None
        self._examples: dict[str, torch.Tensor] = {}
        self._with_words: frozenset[str] = frozenset()
        self.prompts = prompts
        self.class_names = names_at_build(classes)
        self.cache = EmbeddingCache()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # Transformers' layout has no second scale, and testing reads the first only.
        first, second = f'{prefix}logit_scale', f'{prefix}multi_label_logit_scale'
        if self.multi_label_logit_scale is not None and first in state_dict:
            state_dict.setdefault(second, state_dict[first].clone())
        super()._load_from_state_dict(state_dict, prefix, *args)

    # -- words ----------------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        """Classes, the background included."""
        return len(self.class_names)

    out_channels = num_classes

    @property
    def has_background(self) -> bool:
        """Whether the first class is what no word names."""
        return self.class_names[:1] == (self.background,)

    @property
    def words(self) -> tuple[str, ...]:
        """The classes that are named."""
        return self.class_names[1:] if self.has_background else self.class_names

    def update_vocabulary(
        self,
        names: tuple[str, ...],
        prompts: Prompts,
        examples: Examples,
        image_encoder: Any | None = None,
    ) -> None:
        """Encode them when they are first needed.

        Args:
            names: The background's, if there is one, first.
            prompts, examples: As :meth:`set_classes`.
            image_encoder: Encodes the examples.

        Raises:
            ValueError: bad prompts, or nothing but the background.
        """
        if names == (self.background,):
            raise ValueError(f'names: {self.background!r} alone; at least one word is needed')
        get_prompts(self.prompts if prompts is None else prompts)
        found, with_words = encode_examples(image_encoder, names, examples)
        self._examples, self._with_words = found, with_words
        self.class_names = names
        self.prompts = self.prompts if prompts is None else prompts
        self.cache.clear()

    def embeddings(self) -> torch.Tensor:
        """(N, D) L2-normalized embeddings of :attr:`words`."""
        if not self.words:
            raise RuntimeError(
                "classes: the model has none yet; they come from the dataset's metainfo "
                '(mmclip.VocabularyHook in custom_hooks) or from set_classes()'
            )
        return self.cache.get('words', self, lambda: self.encode_names(self.words, self.prompts))

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, T) int64 token ids; a text that is too long is cut."""
        if self._tokenizer is None:
            self._tokenizer = SimpleTokenizer(context_length=self.text_tower.context_length)
        return self._tokenizer(list(texts)).to(self.logit_scale.device)

    def encode_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        """(..., T) token ids -> (..., D) projected features, not normalized."""
        # Prompts repeat ('a photo of a man.'): each is encoded once; batch norm counts all of them.
        rows, places = ids.flatten(0, -2).unique(dim=0, return_inverse=True)
        features = in_chunks(
            lambda part: encode_tokens(self.text_tower, part), rows, self.chunk_size
        )[places]
        return self.text_projector(features).unflatten(0, ids.shape[:-1])

    @torch.no_grad()
    def encode_class_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        """(P, N, T) token ids of P sentences per word -> (N, D) L2-normalized embeddings.

        Source: the official code averages the features of the sentences before they are normalized
        (CLIP normalizes each first).
        """
        features = torch.stack(encode_causal(causal_tower(self.text_tower), list(ids)))
        return F.normalize(self.text_projector(features).float().mean(0), dim=1)

    @torch.no_grad()
    def encode_names(self, names: Sequence[str], prompts: str | Sequence[str]) -> torch.Tensor:
        """(N, D) L2-normalized embeddings of words, of example images where there are any."""
        if self.text_projector.training:
            raise RuntimeError('words are encoded in eval mode: batch norm has other statistics')
        sentences = zip(*map(get_prompts(prompts).format, names), strict=True)
        rows = self.encode_class_tokens(torch.stack([self.tokenize(row) for row in sentences]))
        for index, name in enumerate(names):
            if name in self._examples:
                image = self._examples[name].to(rows)
                words = rows[index] if name in self._with_words else 0
                rows[index] = F.normalize(image + words, dim=0)
        return rows

    def project(self, tokens: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(B, N, C) image tokens -> (B, N, D) L2-normalized, fused with (K, D) words if asked."""
        if self.early_fusion is not None:
            tokens = self.early_fusion(tokens, words)
        return F.normalize(self.image_projector(tokens).float(), dim=-1)

    # -- training -------------------------------------------------------------------------------

    def scale(self, multi_label: bool = False) -> torch.Tensor:
        """The factor of the logits, at most 100 (beyond which it gets no gradient)."""
        log_scale = self.logit_scale
        if multi_label and self.multi_label_logit_scale is not None:
            log_scale = self.multi_label_logit_scale
        return log_scale.float().exp().clamp(max=MAX_SCALE)

    def losses(self, pooled: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Both losses of B images.

        Args:
            pooled: (B, C) features of the image encoder.
            ids: (B, 1 + K, T) token ids: the caption, then the noun prompts.
        """
        texts = F.normalize(self.encode_tokens(ids).float(), dim=-1)
        words = texts[:, min(self.multi_label, 1) :].flatten(0, 1)
        images = self.project(pooled[:, None], words)[:, 0]
        losses = dict(loss_contrastive=contrastive_loss(images, texts[:, 0], self.scale()))
        if self.multi_label:
            loss = multi_label_loss(images, texts[:, 1:], self.scale(multi_label=True))
            losses['loss_multi_label'] = self.multi_label_weight * loss
        losses['logit_scale'] = self.scale().detach()
        return losses

    def loss(
        self, pooled: torch.Tensor, data_samples: Sequence[Any], train_cfg: dict | None = None
    ) -> dict[str, torch.Tensor]:
        """Both losses; ``texts`` of each sample are its caption and K noun prompts.

        They are tokenized here unless every sample brings their ids as ``text_ids`` (1 + K, T).

        Raises:
            ValueError: a sample has another number of texts; ids of another context length.
        """
        texts = [getattr(sample, 'texts', None) for sample in data_samples]
        for sample, own in zip(data_samples, texts, strict=True):
            if own is None or len(own) != 1 + self.multi_label:
                raise ValueError(
                    f'data_samples: {getattr(sample, "img_path", "an image")} has '
                    f'{0 if own is None else len(own)} texts; needed are a caption and '
                    f'{self.multi_label} prompts (mmclip.NounPrompts(num_prompts='
                    f'{self.multi_label}), and texts among the meta_keys of the packing)'
                )
        return self.losses(pooled, self._ids(data_samples, texts))

    def _ids(self, data_samples: Sequence[Any], texts: Sequence[Sequence[str]]) -> torch.Tensor:
        """(B, 1 + K, T) token ids."""
        ready = [getattr(sample, 'text_ids', None) for sample in data_samples]
        if any(ids is None for ids in ready):
            ids = self.tokenize([text for own in texts for text in own])
            return ids.unflatten(0, (len(texts), -1))
        length = self.text_tower.context_length
        if ready[0].shape[-1] != length:
            raise ValueError(
                f'data_samples: text_ids of {ready[0].shape[-1]} tokens, the text tower reads '
                f'{length}; mmclip.NounPrompts(context_length={length})'
            )
        ids = torch.from_numpy(np.stack(ready))
        return ids.to(self.logit_scale.device, non_blocking=True)

    # -- testing --------------------------------------------------------------------------------

    def forward(self, grouping: Grouping, bg_thresh: float = 0.95) -> torch.Tensor:
        """Scores of the classes for each group: (B, m, K)."""
        words = self.embeddings()
        groups = self.project(grouping.tokens, words)
        pooled = self.project(grouping.pooled[:, None], words)[:, 0]
        scores = group_scores(groups, pooled, words, self.scale())
        return with_background(scores, bg_thresh) if self.has_background else scores

    def predict(
        self, grouping: Grouping, batch_img_metas: Sequence[dict], test_cfg: Mapping[str, Any]
    ) -> torch.Tensor:
        """Logits of each pixel, (B, K, H, W), in the size of the network's input.

        Args:
            grouping: Of the image encoder.
            batch_img_metas: Not used: windows and padding are the host's.
            test_cfg: ``bg_thresh``, from 0 (nothing is background) to 1.
        """
        scores = self(grouping, test_cfg.get('bg_thresh', 0.95))
        return paint(scores, group_index(grouping))
