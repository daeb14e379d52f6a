"""A control: an encoder of words that knows nothing of them."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule

from mmclip.clip.loading import clip_embed_dim
from mmclip.registry import MODELS


@MODELS.register_module()
class RandomTextEncoder(BaseModule):
    """Random unit vectors in place of a text tower's embeddings, the same for the same name.

    What a model reaches with them it does not owe to language.

    Args:
        model: The CLIP whose width the vectors have.
        seed: Another seed gives other vectors.

    Raises:
        ValueError: unknown model.
    """

    pretrained = None

    def __init__(self, *, model: str | dict, seed: int = 0) -> None:
        super().__init__()
        self.embed_dim = clip_embed_dim(model)
        self.seed = seed

    @property
    def name(self) -> str:
        """As recorded in vocabulary files."""
        return f'random text, seed {self.seed}'

    def identity(self) -> str:
        """Tells the vectors apart, for the cache."""
        return f'random-text-{self.embed_dim}-{self.seed}'

    weight_hash = identity

    def has_local_weights(self) -> bool:
        """There are none to wait for."""
        return True

    @contextmanager
    def on(self, device: torch.device | str) -> Iterator[None]:
        """Nothing is moved: the vectors are drawn on the CPU."""
        yield

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalized (N, D), float32, each decided by its text and the seed alone."""
        rows = [self._draw(text) for text in texts]
        return F.normalize(torch.stack(rows), dim=-1) if rows else torch.empty(0, self.embed_dim)

    def encode_names(
        self, names: Sequence[str], prompts: str | Sequence[str] = 'single'
    ) -> torch.Tensor:
        """As :meth:`encode`; prompts change nothing."""
        return self.encode(names)

    def _draw(self, text: str) -> torch.Tensor:
        digest = hashlib.sha256(text.encode()).digest()[:8]
        rng = np.random.default_rng([self.seed, int.from_bytes(digest, 'little')])
        return torch.from_numpy(rng.standard_normal(self.embed_dim, np.float32))
