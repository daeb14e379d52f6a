import pytest
import torch

from mmclip.models.action_clip.convert import convert, read

CLIP = {
    'visual.proj': torch.ones(2, 2, dtype=torch.half),
    'visual.time_embedding': torch.zeros(8, 2),
    'visual.transformer.resblocks.3.net.ln_1.weight': torch.ones(2),
    'logit_scale': torch.tensor(1.0),
    'transformer.resblocks.0.ln_1.weight': torch.ones(2),
    'input_resolution': torch.tensor(224),
}
HEAD = {
    'frame_position_embeddings.weight': torch.ones(77, 2),
    'transformer.resblocks.1.ln_1.weight': torch.ones(2),
}
OURS = {
    'video.visual.proj',
    'video.pre_prompt.time_embedding',
    'video.visual.transformer.resblocks.3.ln_1.weight',
    'logit_scale',
    'text.tower.transformer.resblocks.0.ln_1.weight',
}
HEADS = {
    'video.post_prompt.position_embedding.weight',
    'video.post_prompt.blocks.1.ln_1.weight',
}


def test_both_dictionaries_of_an_official_file(tmp_path):
    path = tmp_path / 'official.pt'
    fusion = {f'module.{k}': v for k, v in HEAD.items()}
    torch.save(
        dict(epoch=3, model_state_dict=CLIP, fusion_model_state_dict=fusion,
             optimizer_state_dict=dict(state={})), path
    )  # fmt: skip
    state = convert(read(path))
    assert state.keys() == OURS | HEADS
    assert all(value.dtype == torch.float32 for value in state.values())
    # MeanP has an empty second dictionary.
    torch.save(dict(model_state_dict=CLIP, fusion_model_state_dict={}), path)
    assert convert(read(path)).keys() == OURS


def test_what_is_no_tensor_is_left_out(tmp_path):
    path = tmp_path / 'official.pt'
    torch.save(dict(model_state_dict=CLIP | dict(version=3, note='x')), path)
    assert read(path).keys() == CLIP.keys()


def test_the_port_of_mmaction(tmp_path):
    state = {f'clip.{k}': v for k, v in CLIP.items() if k != 'input_resolution'}
    state |= {f'adapter.{k}': v for k, v in HEAD.items()}
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'port.pth')
    assert convert(read(tmp_path / 'port.pth')).keys() == OURS | HEADS


def test_an_unread_position_table_is_left_out_and_others_are_renamed():
    head = {
        'module.frame_position_embeddings.weight': torch.ones(77, 2),
        'module.lstm_visual.bias_hh_l0': torch.ones(2),
        'module.shift.weight': torch.ones(2, 1, 3),
        'module.transformer.cls_token': torch.ones(1, 1, 2),
        'module.transformer.transformer_enc.norm.bias': torch.ones(2),
    }
    assert {name.removeprefix('video.post_prompt.') for name in convert(head)} == {
        'lstm.bias_hh_l0', 'conv.weight', 'cls_token', 'encoder.norm.bias',
    }  # fmt: skip


@pytest.mark.parametrize(
    'state',
    [
        {},
        {'backbone.conv1.weight': torch.ones(1)},
        {'module.backbone.weight': torch.ones(1)},
        {'clip.logit_scale': torch.ones(()), 'head.weight': torch.ones(1)},
        {'module.frame_position_embeddings.weight': torch.ones(2, 2)},
    ],
)
def test_unknown_weights_are_an_error(state):
    with pytest.raises(ValueError, match='state'):
        convert(state)


def test_a_converted_head_trains_on(make_model):
    """The converted weights load strictly into the model of the same sizes."""
    model = make_model(post_prompt=dict(type='mmclip.ActionTransf', layers=1, max_frames=77))
    official = {}
    for name, value in model.state_dict().items():
        if name.startswith('video.post_prompt.'):
            name = name.removeprefix('video.post_prompt.').replace('blocks.', 'resblocks.', 1)
            name = name.replace('resblocks.', 'transformer.resblocks.', 1)
            name = name.replace('position_embedding', 'frame_position_embeddings')
            official[f'fusion.{name}'] = value
        else:
            name = name.removeprefix('video.').removeprefix('text.tower.')
            official[name] = value
    missing = model.load_state_dict(convert(official))
    assert not missing.missing_keys and not missing.unexpected_keys
    assert model.is_filled
