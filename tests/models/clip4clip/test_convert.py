import sys
from types import ModuleType

import pytest
import torch
from mmaction.models.similarity import CLIPSimilarity

from mmclip.clip.loading import build_clip
from mmclip.models.clip4clip.convert import convert

LAST = {
    'clip.logit_scale': torch.tensor(1.0),
    'clip.visual.proj': torch.ones(2, 2, dtype=torch.half),
    'clip.visual.conv2.weight': torch.ones(2, 3, 3, 1, 1),
    'clip.transformer.resblocks.0.ln_1.weight': torch.ones(2),
}


def test_names_of_an_official_file():
    head = {
        'frame_position_embeddings.weight': torch.ones(4, 2),
        'transformerClip.resblocks.0.attn.in_proj_weight': torch.ones(6, 2),
    }
    found = convert({**LAST, **head})
    assert set(found) == {
        'clip.logit_scale', 'clip.visual.proj', 'patch_3d.weight',
        'clip.transformer.resblocks.0.ln_1.weight', 'sim_head.position_embedding.weight',
        'sim_head.blocks.0.attn.in_proj_weight',
    }  # fmt: skip
    assert all(value.dtype == torch.float32 for value in found.values())
    assert convert({f'module.{k}': v for k, v in LAST.items()}).keys() == convert(LAST).keys()


def test_the_table_that_the_lstm_never_reads_is_left_out():
    head = {
        'frame_position_embeddings.weight': torch.ones(4, 2),
        'lstm_visual.bias_hh_l0': torch.ones(8),
    }
    assert set(convert(head)) == {'sim_head.lstm.bias_hh_l0'}


def test_names_of_the_tight_head():
    head = {
        'cross.embeddings.position_embeddings.weight': torch.ones(4, 2),
        'cross.transformer.resblocks.3.ln_2.bias': torch.ones(2),
        'cross.pooler.ln_pool.weight': torch.ones(2),
        'cross.pooler.dense.bias': torch.ones(2),
        'similarity_dense.weight': torch.ones(1, 2),
    }
    assert set(convert(head)) == {
        'sim_head.position_embedding.weight', 'sim_head.blocks.3.ln_2.bias',
        'sim_head.pooler.ln_pool.weight', 'sim_head.pooler.dense.bias', 'sim_head.score.weight',
    }  # fmt: skip


@pytest.mark.parametrize(
    'state',
    [
        {},
        {'frame_position_embeddings.weight': torch.ones(2, 2)},
        {'backbone.conv1.weight': torch.ones(1)},
        {'clip.visual.layer1.0.conv1.weight': torch.ones(1)},
        {'adapter.conv.weight': torch.ones(1)},
    ],
)
def test_unknown_weights_are_an_error(state):
    with pytest.raises(ValueError, match='state'):
        convert(state)


@pytest.mark.parametrize('adapter', ['mean', 'transformer'])
@torch.no_grad()
def test_mmactions_port_gives_the_same_features(make_model, tiny_clip, monkeypatch, adapter):
    """The installed class, on weights that go through the converter."""
    torch.manual_seed(5)
    # The port asks OpenAI's package for a network; open_clip's is the same one.
    package = ModuleType('clip')
    package.load = lambda name, device: (build_clip(tiny_clip), None)
    monkeypatch.setitem(sys.modules, 'clip', package)
    settings = dict(type='mmaction.SimpleMeanAdapter')
    head = dict(type='mmclip.MeanPHead', normalize_frames=False)
    if adapter == 'transformer':
        settings = dict(type='mmaction.TransformerAdapter', num_segs=4, transformer_width=16)
        settings |= dict(transformer_heads=2, transformer_layers=1)
        head = dict(type='mmclip.SeqTransfHead', normalize_frames=False, norm_eps=1e-5)
        head |= dict(max_frames=4, layers=1, heads=2)
    port = CLIPSimilarity(
        clip_arch='tiny',
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
        adapter=settings,
        loss=dict(type='mmaction.CrossEntropyLoss'),
    )
    port.eval()  # returns nothing
    if adapter == 'transformer':
        port.adapter.init_weights()
    model = make_model(head, max_words=None).eval()
    missing = model.load_state_dict(convert(port.state_dict()), strict=True)
    assert not missing.missing_keys and model.is_filled
    frames, ids = torch.randn(3, 4, 3, 16, 16), model.tokenize(['a cat', 'two dogs', 'a man'])
    videos, texts = port.extract_feat(dict(imgs=frames, text=ids))
    torch.testing.assert_close(model(frames), videos, atol=1e-5, rtol=1e-5)
    ours = torch.nn.functional.normalize(model.encode_texts(ids), dim=-1)
    torch.testing.assert_close(ours, texts, atol=1e-5, rtol=1e-5)
