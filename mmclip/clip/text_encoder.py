"""Text towers as encoders of sentences and of class names."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from open_clip import SimpleTokenizer, image_transform
from PIL import Image
from torch import nn

from mmclip.clip.causal_text import encode_causal, tokens_per_batch
from mmclip.clip.causal_tower import causal_tower
from mmclip.clip.loading import (
    build_clip,
    clip_embed_dim,
    clip_preprocess,
    clip_tokenizer,
    file_hash,
    state_hash,
    weights_file,
)
from mmclip.registry import MODELS
from mmclip.text.prompts import get_prompts


@MODELS.register_module()
class CLIPTextEncoder(BaseModule):
    """The frozen text tower of any open_clip model, and the image tower of the same space.

    Building one reads no weights: the width comes from the model's name. The model is built when
    it is first needed. Causal towers take the exact fast path of
    :mod:`mmclip.clip.causal_text`; the others run their own full length.

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
        self._tokenizer = None
        self._hash = None

    @property
    def clip(self) -> nn.Module:
        """The open_clip model, built at the first use; encoders of one model share it."""
        return _shared_clip(json.dumps(self.model), self.pretrained)

    @property
    def name(self) -> str:
        """The model's name, as recorded in vocabulary files."""
        return self.model if isinstance(self.model, str) else 'custom'

    def identity(self) -> str:
        """Tells the weights apart without building the tower: of a file, tag, or random weights."""
        if self.pretrained is None:
            return f'random-{self.weight_hash()}'
        path = weights_file(self.model, self.pretrained)
        if path is None:
            return f'{self.name}:{self.pretrained}'
        return f'{json.dumps(self.model)}:{file_hash(path)}'

    @contextmanager
    def on(self, device: torch.device | str) -> Iterator[None]:
        """Run the towers on a device for a while; afterwards they are back on the CPU."""
        self.clip.to(device)
        try:
            yield
        finally:
            self.clip.to('cpu')

    def has_local_weights(self) -> bool:
        """Whether the weights are here, so that the tower can be built without a download."""
        return self.pretrained is None or weights_file(self.model, self.pretrained) is not None

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, T) int64 token ids; a text that is too long is cut, with a warning."""
        if self._tokenizer is None:
            self._tokenizer = clip_tokenizer(self.model)
        ids = self._tokenizer(list(texts))
        # A full row may be a text that was cut; only those are looked at again.
        for row in (ids[:, -1] != 0).nonzero()[:, 0].tolist():
            if self._count_tokens(texts[row]) > ids.shape[1]:
                print_log(
                    f'a text of {len(texts[row])} characters is cut to {ids.shape[1]} tokens: '
                    f'{texts[row][:40]!r}...',
                    'current',
                    level=30,
                )
        return ids

    def _count_tokens(self, text: str) -> int:
        """Tokens of a text with both ends; for Hugging Face tokenizers a lower bound."""
        if isinstance(self._tokenizer, SimpleTokenizer):
            return len(self._tokenizer.encode(text)) + 2
        return len(text.split())

    @torch.no_grad()
    def encode_tokens(self, groups: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Raw features of token ids in groups with a common start: (N_g, T) -> (N_g, D) each."""
        tower = causal_tower(self.clip)
        if tower is not None:
            return encode_causal(tower, groups)
        device = next(self.clip.parameters()).device
        rows = [max(1, tokens_per_batch(device) // ids.shape[1]) for ids in groups]
        return [
            torch.cat(
                [
                    self.clip.encode_text(chunk.to(device), normalize=False)
                    for chunk in ids.split(count)
                ]
            )
            for ids, count in zip(groups, rows, strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalized embeddings (N, D), float32, of sentences."""
        if not texts:
            return torch.empty(0, self.embed_dim)
        return F.normalize(self.encode_tokens([self.tokenize(texts)])[0].float(), dim=-1)

    def encode_names(
        self, names: Sequence[str], prompts: str | Sequence[str] = 'single'
    ) -> torch.Tensor:
        """L2-normalized embeddings (K, D), float32, of class names.

        Each sentence is normalized, the mean over a name's sentences is normalized again (as in
        OpenAI's ImageNet notebook; averaging first gives other numbers).

        Args:
            names: K class names.
            prompts: As :func:`mmclip.text.prompts.get_prompts`.
        """
        if not names:
            return torch.empty(0, self.embed_dim)
        sentences = list(map(get_prompts(prompts).format, names))
        if len({len(row) for row in sentences}) > 1:  # each class has sentences of its own
            return self._encode_ragged(sentences)
        groups = [self.tokenize(column) for column in zip(*sentences, strict=True)]
        features = torch.stack(self.encode_tokens(groups)).float()  # (P, K, D)
        return average_prompts(features.transpose(0, 1))

    def _encode_ragged(self, sentences: Sequence[Sequence[str]]) -> torch.Tensor:
        """(K, D) as :meth:`encode_names`, of K lists of different lengths."""
        features = self.encode([text for row in sentences for text in row])
        owners = torch.tensor([i for i, row in enumerate(sentences) for _ in row])
        sums = features.new_zeros(len(sentences), features.shape[1])
        sums.index_add_(0, owners.to(features.device), features)
        return F.normalize(sums, dim=-1)  # the mean has the same direction

    def image_transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """The model's own transform of a PIL image to (3, S, S), normalized."""
        settings = clip_preprocess(self.model, self.pretrained)
        return image_transform(
            settings['size'],
            is_train=False,
            mean=settings['mean'],
            std=settings['std'],
            interpolation=settings['interpolation'],
            resize_mode=settings['resize_mode'],
        )

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """L2-normalized embeddings (N, D), float32, of PIL images by the image tower."""
        transform = self.image_transform()
        device = next(self.clip.parameters()).device
        features = [
            self.clip.encode_image(torch.stack(list(map(transform, images[i : i + 64]))).to(device))
            for i in range(0, len(images), 64)
        ]
        if not features:
            return torch.empty(0, self.embed_dim)
        return F.normalize(torch.cat(features).float(), dim=-1)

    @property
    def image_size(self) -> int:
        """Side S of the image tower's images in pixels."""
        size = clip_preprocess(self.model, self.pretrained)['size']
        return size if isinstance(size, int) else size[0]

    @torch.no_grad()
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """L2-normalized embeddings (N, D), float32, of images as the tower takes them.

        Shapes:
            pixels (N, 3, S, S), normalized already, or not, as depth maps are.
        """
        device = next(self.clip.parameters()).device
        features = [self.clip.encode_image(part.to(device)) for part in pixels.split(64)]
        return F.normalize(torch.cat(features).float(), dim=-1)

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


@lru_cache(maxsize=2)
def _shared_clip(model: str, pretrained: str | None) -> nn.Module:
    return build_clip(json.loads(model), pretrained).requires_grad_(False)


def average_prompts(features: torch.Tensor) -> torch.Tensor:
    """(K, P, D) raw features of P sentences per name -> (K, D) normalize, average, normalize."""
    return F.normalize(F.normalize(features, dim=-1).mean(1), dim=-1)
