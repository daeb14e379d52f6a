"""Fusion by scaling and shifting: an ablation of the official code."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.glip.fusion import Maps

COORDINATES = 8


def coordinates(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """(8, H, W): start, end and center of each cell in [-1, 1], and 1 / H and 1 / W.

    The first of each pair counts rows but is divided by the width, the second the other way round,
    as in the official code: on maps that are not square they leave [-1, 1] or do not fill it.
    """
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=like.device),
        torch.arange(width, dtype=torch.float32, device=like.device),
        indexing='ij',
    )
    first = (2 * rows - width) / width
    second = (2 * columns - height) / height
    first_end, second_end = first + 2 / width, second + 2 / height
    centers = (first + first_end) / 2, (second + second_end) / 2
    sizes = torch.full_like(rows, 1 / height), torch.full_like(rows, 1 / width)
    return torch.stack([first, second, first_end, second_end, *centers, *sizes]).to(like.dtype)


class FiLMFusion(BaseModule):
    """The mean of the words scales and shifts the image; words stay as they are.

    w = mlp(mean of the words); of each level relu(tanh(W_g w) * [x, coordinates] + tanh(W_b w)),
    then a 1x1 convolution, batch norm and ReLU.

    Source: official ``VLFuse`` with ``TYPE = 'FILM'``, which no released model has. Its mean is
    that of the words as the text tower gives them: take no text layers with it. Batch norm over the
    texts of a batch needs more than one in training.

    Args:
        vision_dim: C.
        text_dim: C_l.
        embed_dim: Width of w.
        dropout: Inside the perceptron.
        num_levels: Levels, each with weights of its own.

    Shapes:
        L maps (B, C, H_l, W_l), hidden (B, T, C_l), mask (B, T) bool or None -> the same shapes.

    Raises:
        ValueError: another number of maps than ``num_levels``.
    """

    def __init__(
        self,
        *,
        vision_dim: int,
        text_dim: int,
        embed_dim: int = 256,
        dropout: float = 0.1,
        num_levels: int = 5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        width = vision_dim + COORDINATES
        self.mapping = nn.Sequential(
            nn.Linear(text_dim, embed_dim),
            nn.BatchNorm1d(embed_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(embed_dim, embed_dim),
            nn.BatchNorm1d(embed_dim),
            nn.ReLU(),
        )
        self.gamma, self.beta = (
            nn.ModuleList(nn.Linear(embed_dim, width) for _ in range(num_levels)) for _ in range(2)
        )
        self.joint = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, vision_dim, 1), nn.BatchNorm2d(vision_dim), nn.ReLU())
            for _ in range(num_levels)
        )

    def forward(
        self, features: Sequence[torch.Tensor], hidden: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[Maps, torch.Tensor]:
        if len(features) != len(self.joint):
            raise ValueError(f'num_levels: {len(self.joint)}, but there are {len(features)} maps')
        mask = hidden.new_ones(hidden.shape[:2]) if mask is None else mask
        real = mask[..., None].to(hidden.dtype)
        words = self.mapping((hidden * real).sum(1) / real.sum(1).clamp(min=1))
        maps = []
        for x, gamma, beta, joint in zip(features, self.gamma, self.beta, self.joint, strict=True):
            places = coordinates(*x.shape[2:], x).expand(len(x), -1, -1, -1)
            scale, shift = (layer(words).tanh()[:, :, None, None] for layer in (gamma, beta))
            maps.append(joint(F.relu(scale * torch.cat([x, places], 1) + shift)))
        return tuple(maps), hidden
