import pytest
import torch
from mmengine.structures import BaseDataElement

from mmclip.registry import MODELS

NAMES = ('running', 'playing guitar', 'brush hair')
TINY_CLIP = dict(
    embed_dim=16,
    quick_gelu=True,
    vision_cfg=dict(layers=2, width=16, head_width=8, patch_size=8, image_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2),
)


def samples(labels) -> list[BaseDataElement]:
    out = []
    for label in labels:
        sample = BaseDataElement()
        sample.gt_label = torch.as_tensor(label).reshape(-1)
        out.append(sample)
    return out


@pytest.fixture
def make_model():
    """A tiny ActionCLIP of 4 frames: ``make_model(in_prompt='shift')``."""

    def make(**kwargs):
        torch.manual_seed(0)
        config = dict(
            type='mmclip.ActionCLIPRecognizer', model=TINY_CLIP, num_frames=4, classes=list(NAMES)
        )
        return MODELS.build({**config, **kwargs})

    return make


@pytest.fixture
def tiny_clip() -> dict:
    return TINY_CLIP


@pytest.fixture(name='samples')
def samples_fixture():
    """``samples([0, 2])``: data samples with these labels."""
    return samples
