"""PointNet: order and length of clouds, training, mistakes."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from mmclip.models.point_clip.point_net import PointNetClassifier


def network(**options) -> PointNetClassifier:
    torch.manual_seed(0)
    settings = dict(num_classes=3, point_widths=(8, 16), head_widths=(8,), dropout=0.0)
    return PointNetClassifier(**{**settings, **options})


def samples(labels: list[int]) -> list[BaseDataElement]:
    return [BaseDataElement(gt_label=torch.tensor([label])) for label in labels]


def test_order_of_points_does_not_matter_and_lengths_may_differ():
    model = network().eval()
    clouds = torch.rand(2, 30, 3)
    logits = model(clouds)
    torch.testing.assert_close(model(clouds[:, torch.randperm(30)]), logits)
    ragged = model([clouds[0], torch.cat([clouds[1], clouds[1, :7]]), torch.empty(0, 3)])
    torch.testing.assert_close(ragged[:2], logits)
    assert ragged[2].isfinite().all()
    assert model([]).shape == (0, 3) and model(torch.empty(2, 0, 3)).shape == (2, 3)


def test_it_learns():
    torch.manual_seed(1)
    stretch = torch.tensor([[3.0, 1, 1], [1, 3, 1], [1, 1, 3]])
    labels = [0, 1, 2] * 8
    clouds = torch.randn(24, 64, 3) * stretch[labels][:, None]
    model = network().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        model(clouds, samples(labels), mode='loss')['loss'].backward()
        optimizer.step()
    out = model.eval()(clouds, samples(labels), mode='predict')
    assert sum(int(s.pred_label) == label for s, label in zip(out, labels, strict=True)) >= 22


def test_another_loss():
    clouds, labels = torch.rand(4, 9, 3), [0, 1, 2, 0]
    model = network(loss=dict(type='mmclip.SmoothCELoss', eps=0.0))
    smooth = model(clouds, samples(labels), mode='loss')['loss']
    torch.testing.assert_close(smooth, network()(clouds, samples(labels), mode='loss')['loss'])


def test_an_empty_batch_and_a_batch_of_one():
    model = network().train()
    model([], [], mode='loss')['loss'].backward()
    assert (model.fc.weight.grad == 0).all()
    with pytest.raises(ValueError, match='a batch of one cloud.*drop_last=True'):
        model(torch.rand(1, 9, 3), samples([0]), mode='loss')


def test_mistakes():
    with pytest.raises(ValueError, match='num_classes'):
        network(num_classes=0)
    with pytest.raises(ValueError, match='point_widths'):
        network(point_widths=())
    with pytest.raises(ValueError, match='names: 2 of them'):
        network().set_classes(['a', 'b'])
    with pytest.raises(ValueError, match="mode: 'x'"):
        network()(torch.rand(2, 9, 3), mode='x')
    with pytest.raises(ValueError, match='gt_label'):
        network()(torch.rand(2, 9, 3), mode='loss')
    model = network()
    model.set_classes(['a', 'b', 'c'])
    assert model.class_names == ('a', 'b', 'c')
