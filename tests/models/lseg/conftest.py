import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict

from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of

NAMES = ('other', 'cat', 'red car', 'tree', 'zebra')
TINY_CLIP = dict(
    embed_dim=8,
    vision_cfg=dict(layers=3, width=16, head_width=8, patch_size=8, image_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
)
VIT = dict(img_size=64, patch_size=16, embed_dim=16, depth=4, num_heads=2)


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Embeddings that belong to the names, instead of a text tower's."""
    for classifier in classifiers_of(model):
        classifier.text_encoder = None
        rows = [
            torch.randn(classifier.embed_dim, generator=torch.Generator().manual_seed(seed))
            for seed in (sum(map(ord, name)) for name in NAMES)
        ]
        classifier.cache.put(NAMES, F.normalize(torch.stack(rows), dim=1))
        classifier.set_classes(classifier.class_names)
    return model


def classifier_config(names=NAMES, **more) -> dict:
    return dict(
        type='mmclip.TextEmbeddingClassifier',
        classes=list(names),
        text_encoder=dict(type='mmclip.CLIPTextEncoder', model=TINY_CLIP),
        background=None,
        temperature=0.07,
        **more,
    )


@pytest.fixture
def make_head():
    """A small head on maps of 4, 6, 8 and 10 channels: ``make_head(two_way=True, ...)``."""

    def make(names=NAMES, **kwargs):
        torch.manual_seed(0)
        config = dict(
            type='mmclip.LSegHead',
            in_channels=[4, 6, 8, 10],
            channels=8,
            classifier=classifier_config(names),
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
        )
        return fill(MODELS.build({**config, **kwargs}))

    return make


@pytest.fixture
def make_segmentor():
    """A small ViT with a head: ``make_segmentor(test_cfg=..., head=dict(...), vit=dict(...))``."""

    def make(names=NAMES, test_cfg=None, head=None, vit=None):
        torch.manual_seed(0)
        channels = [VIT['embed_dim']] * 4
        config = dict(
            type='mmclip.OpenVocabSegmentor',
            data_preprocessor=dict(
                type='mmseg.SegDataPreProcessor',
                mean=[127.5] * 3,
                std=[127.5] * 3,
                seg_pad_val=255,
                size_divisor=32,
                test_cfg=dict(size_divisor=32),
            ),
            backbone=dict(type='mmclip.DPTViT', model=VIT, out_indices=(0, 1, 2, 3), **(vit or {})),
            decode_head=dict(
                type='mmclip.LSegHead',
                in_channels=channels,
                reassemble=dict(channels=[4, 6, 8, 10], patch_size=16),
                channels=8,
                norm_cfg=dict(type='BN'),
                classifier=classifier_config(names),
                loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
                **(head or {}),
            ),
            test_cfg=ConfigDict(test_cfg or dict(mode='whole')),
        )
        return fill(MODELS.build(config))

    return make
