"""Convolutions in the other memory order compute the same."""

from types import SimpleNamespace

import torch

from mmclip.engine import ChannelsLastHook


def test_weights_and_maps_become_channels_last_and_the_values_stay():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ConvTranspose2d(8, 4, 2)
    ).double()
    x = torch.randn(2, 3, 9, 9, dtype=torch.double)
    before, weights = model(x), list(model.parameters())
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    after = model(x)
    assert after.is_contiguous(memory_format=torch.channels_last)
    assert not before.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    same = zip(model.parameters(), weights, strict=True)
    assert all(new is old for new, old in same), 'an optimizer that knows them still does'


def test_other_convolutions_are_left_alone():
    model = torch.nn.Conv3d(1, 2, 3)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    assert model.weight.is_contiguous()
