"""Training of a CLIP from pairs of images and texts."""

import functools
import hashlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.clip.cached_gradients import in_chunks
from mmclip.clip.causal_text import encode_tokens
from mmclip.clip.contrastive_loss import MAX_LOG_SCALE
from mmclip.clip.loading import build_clip, clip_tokenizer
from mmclip.models.clip_zero_shot.classifier import clip_data_preprocessor
from mmclip.registry import MODELS


@MODELS.register_module()
class CLIPContrastive(BaseModel):
    """Both towers of an open_clip model, trained by the contrastive loss.

    Source: CLIP, section 2.3. The scale of the logits is stored as a logarithm and kept at or below
    ln 100. Texts are encoded only as far as the longest of a batch reaches, which is exact in a
    causal tower.

    Args:
        model: open_clip name, ``'mini_clip'``, path of a model json, or such a dict.
        pretrained: Weights to start from: open_clip tag, local file or folder, or None.
        loss: Config of the loss.
        chunk_size: Pairs that go through the towers at a time, for large batches in little memory
            (:func:`mmclip.clip.cached_gradients.in_chunks`); None: all.
        temperature: Initial temperature (the reciprocal of the scale); None keeps the model's own.
        mask_equal_texts: Whether pairs with the same text are left out of each other's negatives,
            for captions that repeat within a batch; the loss must take ``text_ids``.
        data_preprocessor: None takes the CLIP's own mean and std.

    Raises:
        ValueError: unknown model, or a temperature below 0.01.
    """

    # For mmclip.ContrastiveBatchHook.
    compares_samples = True
    chunk_hint = 'model.chunk_size (pairs at a time)'

    def __init__(
        self,
        *,
        model: str | dict,
        pretrained: str | None = None,
        loss: dict | None = None,
        chunk_size: int | None = None,
        temperature: float | None = None,
        mask_equal_texts: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or clip_data_preprocessor(model, pretrained))
        self.clip = build_clip(model, pretrained)
        self.tokenizer = clip_tokenizer(model)
        self.chunk_size = chunk_size
        self.mask_equal_texts = mask_equal_texts
        self.loss = MODELS.build(loss or dict(type='mmclip.ContrastiveLoss'))
        if temperature is not None:
            if temperature < 0.01:
                raise ValueError(f'temperature: {temperature}; allowed are 0.01 and more')
            nn.init.constant_(self.clip.logit_scale, -math.log(temperature))

    def encode_images(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) normalized images -> (N, D) L2-normalized features."""
        features = in_chunks(self.clip.encode_image, inputs, self.chunk_size)
        return F.normalize(features, dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """N texts -> (N, D) L2-normalized features."""
        ids = self.tokenizer(list(texts)).to(self.clip.logit_scale.device)
        encode = functools.partial(encode_tokens, self.clip)
        return F.normalize(in_chunks(encode, ids, self.chunk_size), dim=-1)

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: Sequence[BaseDataElement],
        mode: str = 'tensor',
    ) -> dict[str, torch.Tensor] | tuple[torch.Tensor, torch.Tensor]:
        """Features or loss of N pairs.

        Args:
            inputs: Images.
            data_samples: ``text`` of each.
            mode: ``'loss'`` or ``'tensor'``.

        Shapes:
            inputs (N, 3, S, S). ``'tensor'``: two (N, D). ``'loss'``: ``loss_contrastive`` (), and
            for the log ``logit_scale`` ().

        Raises:
            ValueError: another mode; a sample without text.
        """
        if mode not in ('loss', 'tensor'):
            raise ValueError(
                f"mode: {mode!r}; allowed are 'loss' and 'tensor'. To classify give the weights to "
                'mmclip.CLIPZeroShotClassifier'
            )
        texts = [getattr(sample, 'text', None) for sample in data_samples]
        if any(text is None for text in texts):
            raise ValueError("data_samples: one has no text; the data's packing must keep it")
        if mode == 'loss':
            # As after each step of the optimizer, in front of the first use of the new value.
            self.clip.logit_scale.data.clamp_(max=MAX_LOG_SCALE)
        images, text_features = self.encode_images(inputs), self.encode_texts(texts)
        if mode == 'tensor':
            return images, text_features
        scale = self.clip.logit_scale.exp()
        options = dict(text_ids=_text_ids(texts, scale.device)) if self.mask_equal_texts else {}
        loss = self.loss(images, text_features, scale, **options)
        return dict(loss_contrastive=loss, logit_scale=scale.detach())


def _text_ids(texts: Sequence[str], device: torch.device) -> torch.Tensor:
    """(N,) int64, the same for the same text in every process."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    ids = [int.from_bytes(digest, 'little', signed=True) for digest in digests]
    return torch.tensor(ids, dtype=torch.int64, device=device)
