"""GroupViT's image encoder: a vision transformer whose tokens are merged into groups."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import Mlp, trunc_normal_
from timm.models.vision_transformer import Block
from torch import nn

from mmclip.models.group_vit.grouping import GroupingBlock, TokenMixer
from mmclip.registry import MODELS

POS_EMBEDS = ('simple', 'fourier')


@dataclass
class Grouping:
    """What the encoder makes of B images.

    Attributes:
        pooled: (B, C) mean of the final tokens.
        tokens: (B, m, C) final tokens, one per group, normalized by the last LayerNorm.
        hard: Per grouping stage (B, m_i, L_i), the assignment that was used.
        soft: Per grouping stage (B, m_i, L_i), the softmax over groups.
        grid: Rows and columns of patches.
        size: Height and width of the images in pixels.
    """

    pooled: torch.Tensor
    tokens: torch.Tensor
    hard: list[torch.Tensor]
    soft: list[torch.Tensor]
    grid: tuple[int, int]
    size: tuple[int, int]


def fourier_table(height: int, width: int, dim: int) -> torch.Tensor:
    """(1, H * W, dim) fixed sines and cosines of row (sin, cos), then column, a quarter each.

    Source: the official table, where the first half is called that of the width but runs with the
    rows.
    """
    frequency = 1 / 10000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    phases = [place.reshape(-1, 1) * frequency for place in (row, column)]
    return torch.cat([f(p) for p in phases for f in (torch.sin, torch.cos)], 1).float()[None]


class PatchEmbed(nn.Module):
    """Patches as tokens: (B, 3, H, W) -> (B, h, w, C), a biased convolution and a LayerNorm."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.projection(images).permute(0, 2, 3, 1))


class GroupProjector(nn.Module):
    """Brings the group tokens of a stage to the next one's number and width.

    Args:
        tokens, dim: Of the previous stage.
        out_tokens, out_dim: Of the next stage.

    Shapes:
        (B, tokens, dim) -> (B, out_tokens, out_dim).
    """

    def __init__(self, tokens: int, dim: int, out_tokens: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mixer = TokenMixer(tokens, dim // 2, out_tokens)
        self.widen = nn.Identity()
        if out_dim != dim:
            self.widen = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, out_dim, bias=False))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.widen(self.mixer(self.norm(tokens)))


class Stage(nn.Module):
    """Transformer blocks over image and group tokens, then grouping.

    Args:
        dim: C.
        num_heads: Heads.
        mlp_ratio: Hidden width of a block's perceptron as a multiple of C.
        drop_paths: Rate of each block.
        num_group_tokens: n; 0 for a stage without grouping.
        previous: Number and width of the previous stage's group tokens, or None.
        grouping: Arguments of :class:`GroupingBlock`; None for none.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: float,
        drop_paths: Sequence[float],
        num_group_tokens: int,
        previous: tuple[int, int] | None,
        grouping: dict | None,
    ) -> None:
        super().__init__()
        self.num_group_tokens = num_group_tokens
        self.blocks = nn.ModuleList(
            Block(
                dim,
                num_heads,
                mlp_ratio,
                qkv_bias=True,
                drop_path=rate,
                norm_layer=nn.LayerNorm,
                act_layer=nn.GELU,
                mlp_layer=Mlp,
            )
            for rate in drop_paths
        )
        self.group_token = self.group_projector = self.grouping = None
        if grouping is not None:
            self.group_token = nn.Parameter(torch.zeros(1, num_group_tokens, dim))
            self.grouping = GroupingBlock(dim, num_group_tokens=num_group_tokens, **grouping)
            if previous is not None:
                self.group_projector = GroupProjector(*previous, num_group_tokens, dim)

    def forward(
        self, x: torch.Tensor, groups: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """(B, L, C) and the previous group tokens -> tokens, group tokens, assignment, softmax."""
        if self.grouping is None:
            for block in self.blocks:
                x = block(x)
            return x, groups, None, None
        tokens = self.group_token.expand(len(x), -1, -1)
        if self.group_projector is not None:
            tokens = tokens + self.group_projector(groups)
        length = x.shape[1]
        x = torch.cat([x, tokens.to(x.dtype)], 1)
        for block in self.blocks:
            x = block(x)
        x, groups = x[:, :length], x[:, length:]
        x, assignment, soft = self.grouping(x, groups)
        return x, groups, assignment, soft


@MODELS.register_module()
class GroupViTBackbone(BaseModule):
    """The image encoder; without any group tokens it is a plain vision transformer.

    Source: GroupViT, section 3.1; the default is the official two-stage model (28.84 M weights).

    Args:
        img_size: Side of the training images in pixels; testing takes any size (the position
            embedding is resized at run time, bicubically).
        patch_size: Pixels.
        embed_dim: C of the first stage.
        embed_factors: Multiple of ``embed_dim`` per stage.
        depths: Blocks per stage.
        num_heads: Heads per stage.
        num_group_tokens: Per stage; 0 for a stage without grouping.
        num_output_groups: Per stage with grouping.
        mlp_ratio: Hidden width of the perceptrons.
        drop_path_rate: Of the last block, linear from 0.
        hard_assignment, gumbel, gumbel_tau, sum_assign, assign_eps: See
            :class:`mmclip.models.group_vit.grouping.AssignAttention`.
        pos_embed_type: ``'simple'`` (learned) or ``'fourier'`` (fixed).
        init_std: Deviation of the initial weights and tokens; a narrow model needs larger ones.

    Raises:
        ValueError: lists of different lengths, sizes that do not divide, an unknown position
            embedding; in training an image of another size, in testing one smaller than a patch.
    """

    def __init__(
        self,
        *,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 384,
        embed_factors: Sequence[int] | None = None,
        depths: Sequence[int] = (6, 3, 3),
        num_heads: Sequence[int] = (6, 6, 6),
        num_group_tokens: Sequence[int] = (64, 8, 0),
        num_output_groups: Sequence[int] = (64, 8),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.1,
        hard_assignment: bool = True,
        gumbel: bool = True,
        gumbel_tau: float = 1.0,
        sum_assign: bool = False,
        assign_eps: float = 1.0,
        pos_embed_type: str = 'simple',
        init_std: float = 0.02,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        factors = embed_factors or [1] * len(depths)
        _check(img_size, patch_size, depths, num_heads, num_group_tokens, num_output_groups)
        if len(factors) != len(depths):
            raise ValueError(f'embed_factors: {list(factors)} needs an entry per stage {depths}')
        if pos_embed_type not in POS_EMBEDS:
            raise ValueError(f'pos_embed_type: {pos_embed_type!r}; allowed are {POS_EMBEDS}')
        self.img_size, self.patch_size = img_size, patch_size
        side = img_size // patch_size
        dims = [embed_dim * factor for factor in factors]
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        table = torch.zeros(1, side**2, embed_dim)
        if pos_embed_type == 'fourier':
            table = fourier_table(side, side, embed_dim)
        self.pos_embed = nn.Parameter(table, requires_grad=pos_embed_type == 'simple')
        last = max(sum(depths) - 1, 1)
        rates = iter([drop_path_rate * i / last for i in range(sum(depths))])
        self.stages = nn.ModuleList()
        previous = None
        for i, tokens in enumerate(num_group_tokens):
            grouping = None
            if tokens:
                grouping = dict(
                    out_dim=dims[min(i + 1, len(dims) - 1)],
                    num_heads=num_heads[i],
                    num_output_groups=num_output_groups[i],
                    hard=hard_assignment,
                    gumbel=gumbel,
                    gumbel_tau=gumbel_tau,
                    sum_assign=sum_assign,
                    assign_eps=assign_eps,
                )
            stage = Stage(
                dims[i],
                num_heads=num_heads[i],
                mlp_ratio=mlp_ratio,
                drop_paths=[next(rates) for _ in range(depths[i])],
                num_group_tokens=tokens,
                previous=previous,
                grouping=grouping,
            )
            self.stages.append(stage)
            previous = (tokens, dims[i]) if tokens else None
        self.embed_dim = dims[-1]
        self.norm = nn.LayerNorm(self.embed_dim)
        self._reset(init_std)

    @torch.no_grad()
    def _reset(self, std: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.pos_embed.requires_grad:
            trunc_normal_(self.pos_embed, std=std)
        for stage in self.stages:
            # Beside a projector of the previous stage's tokens they start at zero.
            if stage.group_token is not None and stage.group_projector is None:
                trunc_normal_(stage.group_token, std=std)

    def position(self, grid: tuple[int, int]) -> torch.Tensor:
        """(1, h * w, C) position embedding of a grid, resized unless it is that of training."""
        side = math.isqrt(self.pos_embed.shape[1])
        if grid == (side, side):
            return self.pos_embed
        table = self.pos_embed.transpose(1, 2).unflatten(2, (side, side))
        table = F.interpolate(table.float(), grid, mode='bicubic', align_corners=False)
        return table.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)

    def forward(self, images: torch.Tensor) -> Grouping:
        """(B, 3, H, W) normalized images -> their groups."""
        size = tuple(images.shape[2:])
        if self.training and size != (self.img_size, self.img_size):
            raise ValueError(
                f'images: {size[0]} x {size[1]} pixels; training takes {self.img_size} x '
                f'{self.img_size} (img_size)'
            )
        if min(size) < self.patch_size:
            raise ValueError(
                f'images: {size[0]} x {size[1]} pixels are smaller than a patch of '
                f'{self.patch_size}; resize them in the test pipeline'
            )
        x = self.patch_embed(images)
        grid = tuple(x.shape[1:3])
        x = x.flatten(1, 2)
        x = x + self.position(grid).to(x.dtype)
        hard, soft, groups = [], [], None
        for stage in self.stages:
            x, groups, assignment, probabilities = stage(x, groups)
            if assignment is not None:
                hard.append(assignment)
                soft.append(probabilities)
        tokens = self.norm(x)
        return Grouping(tokens.mean(1), tokens, hard, soft, grid, size)


def _check(
    img_size: int,
    patch_size: int,
    depths: Sequence[int],
    heads: Sequence[int],
    tokens: Sequence[int],
    outputs: Sequence[int],
) -> None:
    if img_size % patch_size:
        raise ValueError(f'img_size: {img_size} is no multiple of patch_size {patch_size}')
    if not len(depths) == len(heads) == len(tokens):
        raise ValueError(
            f'depths {list(depths)}, num_heads {list(heads)} and num_group_tokens {list(tokens)} '
            'need one entry per stage'
        )
    grouping = [bool(number) for number in tokens]
    if sum(grouping) > len(outputs) or grouping != sorted(grouping, reverse=True):
        raise ValueError(
            f'num_group_tokens: {list(tokens)} with num_output_groups {list(outputs)}; stages with '
            'groups come first and each needs a number of output groups'
        )
