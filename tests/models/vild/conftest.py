import pytest
import torch
import torch.nn.functional as F

from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of
from mmclip.vocabulary.vocabulary import Vocabulary

NAMES = ('cat', 'dog', 'red car', 'tree', 'zebra', 'yak')


def fill(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random embeddings instead of a text tower's; every name has its own."""
    for classifier in classifiers_of(model):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(classifier.embeddings.shape, generator=generator)
        vocabulary = Vocabulary(classifier.class_names, F.normalize(rows, dim=1))
        classifier._install(vocabulary, of_words=True)
    return model


@pytest.fixture
def make_head():
    """A small head with random embeddings: ``make_head(background=None, num_convs=1, ...)``."""

    def make(names=NAMES, background='learned', temperature=0.1, **kwargs):
        torch.manual_seed(0)
        head = MODELS.build(
            dict(
                type='mmclip.ViLDBBoxHead',
                in_channels=8,
                roi_feat_size=3,
                num_shared_fcs=1,
                fc_out_channels=16,
                classifier=dict(
                    type='mmclip.TextEmbeddingClassifier',
                    classes=list(names),
                    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip'),
                    background=background,
                    temperature=temperature,
                ),
                bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
                loss_cls=dict(type='mmdet.CrossEntropyLoss'),
                loss_bbox=dict(type='mmdet.L1Loss'),
            )
            | kwargs
        )
        return fill(head)

    return make


@pytest.fixture
def fill_with_random_embeddings():
    return fill
