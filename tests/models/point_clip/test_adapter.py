"""The adapter's residual, its modes and its file; the smoothed loss by hand."""

import math

import pytest
import torch

from mmclip.io.checkpoint import write_state_dict
from mmclip.models.point_clip.adapter import InterViewAdapter
from mmclip.models.point_clip.loss import SmoothCELoss


def adapter(**options) -> InterViewAdapter:
    torch.manual_seed(0)
    return InterViewAdapter(**{**dict(num_views=3, embed_dim=4, dropout=0.0), **options})


def test_ratio_mixes_adapted_and_raw_features():
    features = torch.randn(5, 3, 4)
    raw, adapted = (adapter(ratio=ratio).eval()(features) for ratio in (0, 1))
    torch.testing.assert_close(raw, features)
    assert (adapted >= 0).all() and adapted.any()
    mixed = adapter(ratio=0.25).eval()(features)
    torch.testing.assert_close(mixed, 0.25 * adapted + 0.75 * features)


def test_norm_counts_views_and_clouds():
    module = adapter(fusion_init=2.0).train()
    features = torch.randn(5, 3, 4)
    module(features)
    rows = 2 * features.flatten(0, 1)
    torch.testing.assert_close(module.norm_in.running_mean, 0.1 * rows.mean(0))
    assert all(p.grad is None for p in module.parameters())
    module(features).square().sum().backward()
    assert module.fusion_ratio.grad.abs().sum() > 0


def test_float32_under_autocast():
    features = torch.randn(4, 3, 4)
    expected = adapter().train()(features)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = adapter().train()(features)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected)


def test_one_cloud_is_tested_but_not_trained():
    features = torch.randn(1, 3, 4)
    assert adapter().eval()(features).shape == (1, 3, 4)
    with pytest.raises(ValueError, match='a batch of one cloud.*batch_size.*drop_last=True'):
        adapter().train()(features)
    assert adapter().train()(features[:0]).shape == (0, 3, 4)


def test_weights_from_a_file(tmp_path):
    source = adapter()
    torch.nn.init.normal_(source.fusion_ratio)
    state = {f'adapter.{name}': value for name, value in source.state_dict().items()}
    path = str(tmp_path / 'adapter.safetensors')
    write_state_dict(state | {'backbone.visual.x': torch.zeros(1)}, path)
    module = adapter(pretrained=path)
    module.init_weights()
    torch.testing.assert_close(module.fusion_ratio, source.fusion_ratio)
    other = adapter(pretrained=str(tmp_path / 'gone.pth'))
    other.load_state_dict(source.state_dict())
    other.init_weights()  # what a checkpoint brought is not loaded again
    with pytest.raises(ValueError, match='adapter.pretrained: .* does not fit: missing'):
        adapter(pretrained=path, num_views=4).init_weights()
    del state['adapter.view_fc1.bias']
    write_state_dict(state, path)
    with pytest.raises(ValueError, match="missing \\['view_fc1.bias'\\]"):
        adapter(pretrained=path).init_weights()


@pytest.mark.parametrize(
    ('options', 'told'), [(dict(ratio=2), 'ratio: 2'), (dict(num_views=0), 'num_views')]
)
def test_mistakes(options, told):
    with pytest.raises(ValueError, match=told):
        adapter(**options)
    with pytest.raises(ValueError, match='features: .* V=3, C=4'):
        adapter()(torch.randn(2, 4, 4))


def test_loss_by_hand():
    """Probabilities 0.5, 0.25, 0.25, true class 0, eps 0.2: the two others get 0.1 each."""
    logits = torch.tensor([[math.log(2), 0.0, 0.0]])
    loss = SmoothCELoss(eps=0.2)(logits, torch.tensor([0]))
    assert loss == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4))
    smooth = torch.nn.CrossEntropyLoss(label_smoothing=0.2)(logits, torch.tensor([0]))
    assert smooth != pytest.approx(float(loss), abs=1e-3)


def test_loss_of_nothing_keeps_the_graph():
    logits = torch.empty(0, 3, requires_grad=True)
    loss = SmoothCELoss()(logits, torch.empty(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and logits.grad.shape == (0, 3)


def test_loss_mistakes():
    with pytest.raises(ValueError, match='eps: 1.5'):
        SmoothCELoss(eps=1.5)
    with pytest.raises(ValueError, match='1 class'):
        SmoothCELoss()(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
