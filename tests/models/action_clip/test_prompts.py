import pytest
import torch

from mmclip.models.action_clip.frame_prompts import run_vit, temporal_shift
from mmclip.models.action_clip.text_prompts import action_prompts
from mmclip.registry import MODELS

HEADS = ('ActionMeanP', 'ActionConv1D', 'ActionLSTM', 'ActionTransf', 'ActionTransfCls')


def head(name, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type=f'mmclip.{name}', embed_dim=16, num_frames=4, **kwargs)).eval()


def test_sixteen_templates_of_three_kinds():
    templates = action_prompts('action_clip_16').templates
    assert len(templates) == len(set(templates)) == 16
    kinds = [action_prompts(f'action_clip_{k}').templates for k in ('prefix', 'suffix', 'cloze')]
    assert sorted(sum(kinds, ()) + ('{}',)) == sorted(templates)
    assert action_prompts(['do {} now']).format('run') == ['do run now']
    with pytest.raises(ValueError, match='action_clip_16'):
        action_prompts('action_clip_17')


def test_shift_by_hand():
    tokens = torch.arange(1.0, 3 * 2 * 8 + 1).view(1, 3, 2, 8)  # T 3, class token and one patch
    out = temporal_shift(tokens, 4)
    torch.testing.assert_close(out[:, :, 0], tokens[:, :, 0])
    patch, was = out[0, :, 1], tokens[0, :, 1]
    torch.testing.assert_close(patch[:, :2], torch.stack([was[1, :2], was[2, :2], 0 * was[0, :2]]))
    torch.testing.assert_close(
        patch[:, 2:4], torch.stack([0 * was[0, 2:4], was[0, 2:4], was[1, 2:4]])
    )
    torch.testing.assert_close(patch[:, 4:], was[:, 4:])


@pytest.mark.parametrize('name', HEADS)
def test_every_head_takes_any_batch_and_an_empty_one(name):
    module = head(name)
    frames = torch.randn(3, 4, 16)
    out = module(frames)
    assert out.shape == (3, 16)
    torch.testing.assert_close(module(frames[1:2])[0], out[1])
    empty = torch.zeros(0, 4, 16, requires_grad=True)
    module(empty).sum().backward()
    assert module(empty).shape == (0, 16)
    assert module(frames[:, :1]).shape == (3, 16)  # an example image


@pytest.mark.parametrize('name', ['ActionConv1D', 'ActionLSTM', 'ActionTransf', 'ActionTransfCls'])
def test_the_order_of_frames_matters_but_not_to_the_mean(name):
    frames = torch.randn(2, 4, 16)
    assert (head(name)(frames) - head(name)(frames.flip(1))).abs().max() > 1e-3
    mean = head('ActionMeanP')
    torch.testing.assert_close(mean(frames), mean(frames.flip(1)))


def test_convolution_starts_as_a_shift_and_transposes():
    frames = torch.randn(1, 4, 16)
    before = torch.cat([torch.zeros(1, 1, 4), frames[:, :-1, :4]], 1)
    expected = (before + frames[:, :, :4]).mean(1)
    torch.testing.assert_close(head('ActionConv1D')(frames)[:, :4], expected)
    middle = head('ActionConv1D')(frames)[:, 4:12]
    torch.testing.assert_close(middle, 2 * frames.mean(1)[:, 4:12])
    official = head('ActionConv1D', official_view=True)(frames)[:, 4:12]
    assert (official - middle).abs().max() > 0.1


def test_a_short_position_table_fills_the_first_rows():
    module = head('ActionTransf', max_frames=10)
    state = module.state_dict()
    state['position_embedding.weight'] = torch.ones(4, 16)
    module.load_state_dict(state)
    assert module.position_embedding.weight[:4].eq(1).all()
    assert module.position_embedding.weight.shape == (10, 16)
    state['position_embedding.weight'] = torch.ones(3, 16)
    with pytest.raises(RuntimeError, match='size mismatch'):
        module.load_state_dict(state)


def test_wrong_numbers_of_frames():
    with pytest.raises(ValueError, match='max_frames: 3'):
        head('ActionTransf', max_frames=3)
    with pytest.raises(ValueError, match='11 are more than the 10'):
        head('ActionTransf', max_frames=10)(torch.zeros(1, 11, 16))
    with pytest.raises(ValueError, match='num_frames=4'):
        head('ActionTransfCls')(torch.zeros(1, 5, 16))
    with pytest.raises(ValueError, match='heads: 3'):
        head('ActionTransf', heads=3)


def test_the_joint_prompt_of_one_frame_without_time_is_the_tower(make_model):
    visual = make_model().video.visual.eval()
    frames = torch.randn(3, 1, 3, 16, 16)
    joint = run_vit(visual, frames, time_embedding=torch.zeros(1, 16))
    torch.testing.assert_close(joint, visual(frames[:, 0]))
    torch.testing.assert_close(run_vit(visual, frames)[:, 0], visual(frames[:, 0]))
