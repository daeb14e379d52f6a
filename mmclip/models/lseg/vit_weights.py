"""Where LSeg's image encoder starts: supervised on ImageNet, or as the image tower of a CLIP."""

import timm
import torch
from mmengine.logging import print_log
from torch import nn

from mmclip.clip.dense_features import resize_position_embedding
from mmclip.clip.loading import build_clip
from mmclip.io.checkpoint import read_state_dict

_UNREAD = ('norm.', 'head.', 'fc_norm.', 'head_dist.')  # behind the last tap
_CLIP_BLOCK = {
    'attn.qkv.weight': 'attn.in_proj_weight',
    'attn.qkv.bias': 'attn.in_proj_bias',
    'attn.proj.weight': 'attn.out_proj.weight',
    'attn.proj.bias': 'attn.out_proj.bias',
    'norm1.weight': 'ln_1.weight',
    'norm1.bias': 'ln_1.bias',
    'norm2.weight': 'ln_2.weight',
    'norm2.bias': 'ln_2.bias',
    'mlp.fc1.weight': 'mlp.c_fc.weight',
    'mlp.fc1.bias': 'mlp.c_fc.bias',
    'mlp.fc2.weight': 'mlp.c_proj.weight',
    'mlp.fc2.bias': 'mlp.c_proj.bias',
}


def vit_weights(
    pretrained: str | dict, model: str | dict, vit: nn.Module
) -> dict[str, torch.Tensor]:
    """Weights for a timm ViT, complete.

    Args:
        pretrained: ``'timm'``, a local file in timm's layout, or a CLIP as
            ``dict(model=..., pretrained=...)``.
        model: The ViT's name in timm, needed for ``'timm'``.
        vit: The module that gets them; it tells the names and the grid.

    Raises:
        ValueError: names or shapes do not fit; ``'timm'`` for a ViT that has no name there.
        FileNotFoundError: no such file.
    """
    if isinstance(pretrained, dict):
        return from_clip(build_clip(**pretrained).visual.state_dict(), vit)
    if pretrained == 'timm':
        if not isinstance(model, str):
            raise ValueError(
                "pretrained: 'timm' has weights for named models only, e.g. "
                f"model='vit_large_patch16_384'; got {model!r}"
            )
        return from_timm(timm.create_model(model, pretrained=True).state_dict(), vit, model)
    return from_timm(read_state_dict(pretrained), vit, pretrained)


def from_timm(
    state: dict[str, torch.Tensor], vit: nn.Module, source: str
) -> dict[str, torch.Tensor]:
    """timm's own layout; position embeddings are resized to the grid of ``vit``."""
    wanted = vit.state_dict()
    depth = len(vit.blocks)
    state = {
        name: value
        for name, value in state.items()
        if not name.startswith(_UNREAD)
        and not (name.startswith('blocks.') and int(name.split('.')[1]) >= depth)
    }
    rows = state.get('pos_embed')
    if rows is not None and rows.shape[1] != wanted['pos_embed'].shape[1]:
        state['pos_embed'] = resize_position_embedding(
            rows[0], vit.patch_embed.grid_size, mode='bilinear'
        )[None]
    _check(state, wanted, source)
    return state


def from_clip(visual: dict[str, torch.Tensor], vit: nn.Module) -> dict[str, torch.Tensor]:
    """The image tower of a CLIP in open_clip's layout.

    Blocks, class token and patch convolution are taken; position embeddings (another grid and
    another scale) and the norm in front of the blocks are not, as in the official code. CLIP's
    patch convolution has no bias: it starts at zero here, at random there.
    """
    wanted = vit.state_dict()
    if 'class_embedding' not in visual:
        raise ValueError('pretrained: the image tower of this CLIP is no ViT')
    state = {
        'cls_token': visual['class_embedding'][None, None],
        'patch_embed.proj.weight': visual['conv1.weight'],
        'patch_embed.proj.bias': torch.zeros_like(wanted['patch_embed.proj.bias']),
        'pos_embed': wanted['pos_embed'],
    }
    count = sum(name.endswith('ln_1.weight') for name in visual)
    for index in range(min(count, len(vit.blocks))):
        for ours, theirs in _CLIP_BLOCK.items():
            state[f'blocks.{index}.{ours}'] = visual[f'transformer.resblocks.{index}.{theirs}']
    _check(state, wanted, "CLIP's image tower")
    print_log('the image encoder starts from the image tower of a CLIP', 'current')
    return state


def _check(state: dict, wanted: dict, source: str) -> None:
    missing, left = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = [k for k in wanted.keys() & state.keys() if wanted[k].shape != state[k].shape]
    if missing or left or shapes:
        raise ValueError(
            f'pretrained: {source} does not fit the ViT: missing {missing[:3]}, left over '
            f'{left[:3]}, other shapes {sorted(shapes)[:3]}'
        )
