"""Early fusion: image features read the words before they are compared with them."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn


class EarlyFusion(BaseModule):
    """Cross-attention from image features to the embedded names, behind a gate that opens from 0.

    x <- x + tanh(g) * W_o attention(W_q norm(x), W_k t, W_v t) for image features x and text
    embeddings t of the present vocabulary. With g = 0 (at the start) nothing changes. The result
    does not depend on the order of the names.

    Source: the fusion between encoders that GLIP (arXiv 2112.03857) section 3.2 has for detection,
    here in one direction and with the names as tokens.

    Args:
        channels: C of the image features.
        text_dim: D of the text embeddings.
        width: Channels inside the attention.
        num_heads: Divides ``width``.

    Shapes:
        x (B, C, H, W) or (B, N, C); text (K, D) -> the shape of x.

    Raises:
        ValueError: ``num_heads`` does not divide ``width``.
    """

    def __init__(
        self, *, channels: int, text_dim: int, width: int = 128, num_heads: int = 4
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f'early_fusion: {num_heads} heads do not divide the width {width}')
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, width)
        self.key = nn.Linear(text_dim, width)
        self.value = nn.Linear(text_dim, width)
        self.output = nn.Linear(width, channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, width) -> (B, heads, N, width / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        if x.ndim == 4:
            tokens = self(x.flatten(2).transpose(1, 2), text)
            return tokens.transpose(1, 2).unflatten(2, x.shape[2:])
        text = text.to(x.dtype).expand(len(x), -1, -1)
        attended = F.scaled_dot_product_attention(
            self._heads(self.query(self.norm(x))),
            self._heads(self.key(text)),
            self._heads(self.value(text)),
        )
        return x + self.gate.tanh() * self.output(attended.transpose(1, 2).flatten(2))
