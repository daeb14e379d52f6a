"""What CLIP's image towers hold besides the pooled feature: blocks, stages and dense features.

Functions over open_clip's ``VisionTransformer`` and ``ModifiedResNet``. The dense features live in
the space of the text tower:

- ``tokens``: every patch token of a ViT through the final norm and the projection;
- MaskCLIP (Zhou et al., ECCV 2022, section 3.2): the last attention is replaced by its values, so
  that positions are no longer mixed; in a ResNet's attention pool likewise, as two 1x1
  convolutions;
- a ResNet's attention pool with every position as a query (DepthCLIP; ``position=False``:
  MaskCLIP's variant ``attn_pooling``).
"""

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

# Name -> arguments of torch.nn.functional.interpolate. They differ, most of all when shrinking.
POSITION_RESIZE: dict[str, dict] = {
    'bicubic_antialias': dict(mode='bicubic', antialias=True, align_corners=False),  # open_clip
    'bicubic': dict(mode='bicubic', align_corners=False),  # mmseg, MaskCLIP, older timm
    'bilinear': dict(mode='bilinear', align_corners=False),  # LSeg, DepthCLIP, OpenAI at 336 px
}


def resize_position_embedding(
    embedding: torch.Tensor,
    size: tuple[int, int],
    *,
    old_size: tuple[int, int] | None = None,
    mode: str = 'bicubic_antialias',
) -> torch.Tensor:
    """Position embedding of another grid; the first row (class or mean token) is kept.

    Args:
        embedding: Row 0 for the class or mean token, then the grid row by row.
        size: New height and width in cells.
        old_size: Height and width of the grid in ``embedding``; a square if not given.
        mode: A key of ``POSITION_RESIZE``.

    Shapes:
        embedding (1 + old_h * old_w, C) -> (1 + h * w, C).

    Raises:
        ValueError: unknown mode; rows that fit no grid.
    """
    if mode not in POSITION_RESIZE:
        raise ValueError(f'mode: {mode!r} is none of {", ".join(POSITION_RESIZE)}')
    cells = embedding.shape[0] - 1
    if old_size is None:
        old_size = (math.isqrt(cells),) * 2
    if old_size[0] * old_size[1] != cells:
        raise ValueError(f'embedding: {cells} rows are no grid of {old_size[0]} x {old_size[1]}')
    if tuple(size) == tuple(old_size):
        return embedding
    grid = embedding[1:].float().T.reshape(1, -1, *old_size)
    grid = F.interpolate(grid, size=tuple(size), **POSITION_RESIZE[mode])
    return torch.cat([embedding[:1], grid.flatten(2)[0].T.to(embedding.dtype)])


def vit_embed(
    tower: VisionTransformer, images: torch.Tensor, *, position_mode: str = 'bicubic_antialias'
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Tokens that enter the first block, for images of any size.

    Shapes:
        images (B, 3, H, W) -> tokens (B, 1 + h * w, C), class token first, and (h, w).
    """
    x = tower.conv1(images)
    size = (x.shape[2], x.shape[3])
    x = x.flatten(2).transpose(1, 2)  # (B, h * w, C)
    first = tower.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
    position = resize_position_embedding(
        tower.positional_embedding, size, old_size=tower.grid_size, mode=position_mode
    )
    x = torch.cat([first, x], 1) + position.to(x.dtype)
    return tower.ln_pre(tower.patch_dropout(x)), size


def vit_tokens(
    tower: VisionTransformer,
    images: torch.Tensor,
    *,
    keep: Collection[int] | None = None,
    position_mode: str = 'bicubic_antialias',
) -> tuple[dict[int, torch.Tensor], tuple[int, int]]:
    """Tokens that enter the first block (number 0) and that leave each block (from 1 on).

    Args:
        tower: The tower.
        images: Normalized images.
        keep: Numbers that are wanted; nothing else is held, no further block is run. All if None.
        position_mode: A key of ``POSITION_RESIZE``.

    Shapes:
        images (B, 3, H, W) -> number -> (B, 1 + h * w, C), and (h, w).
    """
    x, size = vit_embed(tower, images, position_mode=position_mode)
    blocks = tower.transformer.resblocks
    keep = range(len(blocks) + 1) if keep is None else keep
    states = {0: x} if 0 in keep else {}
    for number, block in enumerate(list(blocks)[: max(keep)], start=1):
        x = block(x)
        if number in keep:
            states[number] = x
    return states, size


def vit_pool(tower: VisionTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """The image feature out of the last block's tokens: (B, 1 + h * w, C) -> (B, D), raw."""
    pooled, _ = tower._pool(tokens)
    return pooled if tower.proj is None else pooled @ tower.proj


def vit_project(tower: VisionTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """Every token into the shared space: (B, N, C) -> (B, N, D), raw."""
    tokens = tower.ln_post(tokens)
    return tokens if tower.proj is None else tokens @ tower.proj


def value_block(
    block: ResidualAttentionBlock, x: torch.Tensor, *, residual: bool = True
) -> torch.Tensor:
    """A block whose attention is replaced by its values: out_proj(v(ln_1 x)).

    Args:
        block: The last block of a ViT.
        x: Tokens that enter it, (B, N, C).
        residual: Whether the sum with x and the MLP are kept, as in the official MaskCLIP; many
            re-implementations drop both.

    Shapes:
        (B, N, C) -> (B, N, C).
    """
    attention = block.attn
    width = attention.embed_dim
    bias = attention.in_proj_bias
    values = F.linear(
        block.ln_1(x),
        attention.in_proj_weight[2 * width :],
        None if bias is None else bias[2 * width :],
    )
    values = attention.out_proj(values)
    if not residual:
        return values
    x = x + block.ls_1(values)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def tokens_to_map(tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, h * w, C) row by row -> (B, C, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, size)


def resnet_stages(
    tower: ModifiedResNet, images: torch.Tensor, *, keep: Collection[int] = (0, 1, 2, 3, 4)
) -> dict[int, torch.Tensor]:
    """Stem (number 0) and stages 1 to 4, at strides 4, 4, 8, 16 and 32.

    Args:
        tower: The tower.
        images: Normalized images, (B, 3, H, W).
        keep: Numbers that are wanted.
    """
    stages = (tower.stem, tower.layer1, tower.layer2, tower.layer3, tower.layer4)
    x, states = images, {}
    for number, stage in enumerate(stages[: max(keep) + 1]):
        x = stage(x)
        if number in keep:
            states[number] = x
    return states


def attention_pool(
    pool: AttentionPool2d,
    features: torch.Tensor,
    *,
    all_positions: bool = False,
    position: bool = True,
    position_mode: str = 'bicubic_antialias',
) -> torch.Tensor:
    """CLIP ResNet's attention pool for maps of any size.

    Args:
        pool: The pool.
        features: Last stage, (B, C, h, w).
        all_positions: Whether every position asks, instead of the mean token alone.
        position: Whether the position embedding is added.
        position_mode: How it is resized, a key of ``POSITION_RESIZE``.

    Shapes:
        (B, C, h, w) -> (B, D), or (B, D, h, w) with ``all_positions``; raw.
    """
    size = (features.shape[2], features.shape[3])
    tokens = features.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)  # (B, 1 + h * w, C)
    if position:
        embedding = resize_position_embedding(pool.positional_embedding, size, mode=position_mode)
        tokens = tokens + embedding.to(tokens.dtype)

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (pool.num_heads, -1)).transpose(1, 2)

    queries = tokens[:, 1:] if all_positions else tokens[:, :1]
    attended = F.scaled_dot_product_attention(
        heads(pool.q_proj(queries)), heads(pool.k_proj(tokens)), heads(pool.v_proj(tokens))
    )
    out = pool.c_proj(attended.transpose(1, 2).flatten(2))
    return tokens_to_map(out, size) if all_positions else out[:, 0]


def attention_pool_values(pool: AttentionPool2d, features: torch.Tensor) -> torch.Tensor:
    """MaskCLIP for ResNets: c_proj(v_proj(x)) per position: (B, C, h, w) -> (B, D, h, w), raw.

    No position embedding and no mean token, as in the official code.
    """
    tokens = pool.c_proj(pool.v_proj(features.flatten(2).transpose(1, 2)))
    return tokens_to_map(tokens, (features.shape[2], features.shape[3]))
