"""A GroupViT small enough to be built in every test."""

from collections.abc import Callable

import pytest
import torch

from mmclip.models.group_vit.segmentor import GroupViTSegmentor
from mmclip.registry import MODELS


def config(**changes: dict) -> dict:
    """Config of the small model; ``backbone``, ``decode_head`` ... are changes of that part."""
    parts = dict(
        backbone=dict(
            type='mmclip.GroupViTBackbone',
            img_size=32,
            patch_size=8,
            embed_dim=16,
            depths=[1, 1, 1],
            num_heads=[2, 2, 2],
            num_group_tokens=[6, 3, 0],
            num_output_groups=[6, 3],
            drop_path_rate=0.0,
        ),
        decode_head=dict(
            type='mmclip.GroupViTHead',
            in_channels=16,
            classes=['background', 'cat', 'dog'],
            text=dict(width=16, layers=1, context_length=16),
            embed_dim=8,
            hidden=24,
            multi_label=2,
        ),
        train_cfg=dict(chunk_size=None),
        test_cfg=dict(mode='whole', bg_thresh=0.3),
    )
    for part, change in changes.items():
        parts[part] = {**parts.get(part, {}), **change}
    return dict(type='mmclip.GroupViTSegmentor', **parts)


@pytest.fixture
def build() -> Callable[..., GroupViTSegmentor]:
    """Builds the small model, with weights large enough that groups differ."""

    def make(**changes: dict) -> GroupViTSegmentor:
        torch.manual_seed(0)
        model = MODELS.build(config(**changes))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5)
        return model.eval()

    return make
