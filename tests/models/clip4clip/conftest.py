import pytest
import torch
from mmengine.structures import BaseDataElement

from mmclip.registry import MODELS

TINY_CLIP = dict(
    embed_dim=16,
    quick_gelu=True,
    vision_cfg=dict(layers=2, width=16, head_width=8, patch_size=8, image_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=1, layers=2),
)
HEADS = dict(
    meanP=dict(type='mmclip.MeanPHead'),
    seqLSTM=dict(type='mmclip.SeqLSTMHead'),
    seqTransf=dict(type='mmclip.SeqTransfHead', layers=2, max_frames=9),
    tightTransf=dict(type='mmclip.TightTransfHead', layers=2, max_frames=10, dropout=0.0),
)


@pytest.fixture
def tiny_clip() -> dict:
    return TINY_CLIP


@pytest.fixture(params=HEADS)
def head_config(request) -> dict:
    return HEADS[request.param]


@pytest.fixture
def make_model():
    """A tiny CLIP4Clip: ``make_model('seqTransf', linear_patch='3d')``."""

    def make(head='meanP', **kwargs):
        torch.manual_seed(0)
        config = dict(type='mmclip.CLIP4Clip', model=TINY_CLIP)
        config['sim_head'] = HEADS[head] if isinstance(head, str) else head
        return MODELS.build({**config, **kwargs})

    return make


@pytest.fixture
def make_head():
    """A head of D 16 in eval mode, all weights drawn so that nothing is trivial."""

    def make(head, **kwargs):
        torch.manual_seed(0)
        config = HEADS[head] if isinstance(head, str) else head
        module = MODELS.build(dict(config, embed_dim=16, **kwargs)).eval()
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return module

    return make


def samples(texts) -> list[BaseDataElement]:
    out = []
    for own in texts:
        sample = BaseDataElement()
        sample.texts = own
        out.append(sample)
    return out


@pytest.fixture(name='samples')
def samples_fixture():
    """``samples([['a cat'], ['a dog']])``: data samples with these sentences."""
    return samples


def lengths_to_mask(lengths, count=None) -> torch.Tensor:
    lengths = torch.as_tensor(lengths)
    count = int(lengths.max()) if count is None else count
    return torch.arange(count) < lengths[:, None]


@pytest.fixture(name='mask_of')
def mask_fixture():
    """``mask_of([3, 0, 1])``: (3, 3) masks of videos of so many frames."""
    return lengths_to_mask
