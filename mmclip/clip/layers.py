"""Parts of open_clip that methods build on or look into."""

from open_clip.model import _build_text_tower as build_text_tower
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import (
    QuickGELU,
    ResidualAttentionBlock,
    TextTransformer,
    VisionTransformer,
)

__all__ = [
    'AttentionPool2d',
    'ModifiedResNet',
    'QuickGELU',
    'ResidualAttentionBlock',
    'TextTransformer',
    'VisionTransformer',
    'build_text_tower',
]
