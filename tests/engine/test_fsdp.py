"""Clipping of a gradient that lies on several processes; one process has it whole."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmclip.engine.fsdp import ShardedOptimWrapper


def step(kind, limit):
    weight = torch.nn.Parameter(torch.zeros(3))
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    optimizer = torch.optim.SGD([weight, frozen], lr=1.0)
    kind(optimizer, clip_grad=dict(max_norm=limit)).update_params(
        weight @ torch.tensor([1.0, 2, 2])
    )
    return -weight.detach()


@pytest.mark.parametrize('limit', [3.1, 100.0])
def test_a_gradient_below_the_limit_stays_to_the_bit(limit):
    assert step(ShardedOptimWrapper, limit).tolist() == [1, 2, 2]  # its norm is 3


def test_a_gradient_above_the_limit_has_its_norm():
    clipped = step(ShardedOptimWrapper, 1.5)
    torch.testing.assert_close(clipped, torch.tensor([0.5, 1, 1]))
    torch.testing.assert_close(clipped, step(OptimWrapper, 1.5))
