"""timm's schedule: closed form, the official rates, config, going on."""

import json
import math

import pytest
import torch

from mmclip.engine.warmup_cosine import WarmupCosineLR, WarmupDecayLR
from mmclip.registry import PARAM_SCHEDULERS


def optimizer(lr: float = 2.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr)


def rates(scheduler: WarmupCosineLR, steps: int) -> list[float]:
    out = []
    for _ in range(steps):
        out.append(scheduler.optimizer.param_groups[0]['lr'])
        scheduler.optimizer.step()
        scheduler.step()
    return out


def test_closed_form():
    scheduler = WarmupCosineLR(
        optimizer(), total=10, warmup=4, start_factor=0.1, end_factor=0.2, by_epoch=False
    )
    expected = [0.1, 0.1, 0.325, 0.55, 0.775]  # one step late
    expected += [0.2 + 0.8 * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(4, 9)]
    assert rates(scheduler, 10) == pytest.approx([2 * f for f in expected])
    assert rates(scheduler, 5)[1:] == pytest.approx([0.4] * 4)  # behind the end it stays


def test_official_rates_through_a_config(oracles):
    content = json.loads((oracles / 'group_vit' / 'lr_schedule.json').read_text())
    config = dict(
        type='mmclip.WarmupCosineLR',
        total=content['config']['epochs'],
        warmup=content['config']['warmup_epochs'],
        start_factor=4e-6 / 1.6e-3,
        end_factor=4e-5 / 1.6e-3,
        convert_to_iter_based=True,
    )
    length = content['config']['iters_per_epoch']
    # Half the batch, half of all three rates.
    scheduler = PARAM_SCHEDULERS.build(
        config, default_args=dict(optimizer=optimizer(0.8e-3), epoch_length=length)
    )
    expected = [rate / 2 for rate in content['lr_used_at_step']]
    assert rates(scheduler, len(expected)) == pytest.approx(expected, rel=1e-9)


def test_goes_on_where_it_was():
    options = dict(total=10, warmup=2, by_epoch=False)
    whole = rates(WarmupCosineLR(optimizer(), **options), 10)
    first = WarmupCosineLR(optimizer(), **options)
    rates(first, 6)
    second = WarmupCosineLR(optimizer(), **options)
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert rates(second, 4) == pytest.approx(whole[6:])


def test_a_warm_up_longer_than_the_whole():
    with pytest.raises(ValueError, match='warmup: 11'):
        WarmupCosineLR(optimizer(), total=10, warmup=11)


def test_a_curve_of_its_own_behind_the_warm_up():
    def factors(**kwargs):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=2.0)
        scheduler = WarmupDecayLR.build_iter_from_epoch(
            optimizer, epoch_length=10, total=5, warmup=1, **kwargs
        )
        rates = []
        for _ in range(50):
            rates.append(optimizer.param_groups[0]['lr'] / 2)
            optimizer.step()
            scheduler.step()
        return rates

    cosine = factors()
    assert cosine[:11] == pytest.approx([step / 10 for step in range(11)])
    assert cosine[30] == pytest.approx(0.5) and cosine[20] == pytest.approx(0.853553, abs=1e-6)
    steps = factors(milestones=[2, 4])
    assert [steps[i] for i in (5, 10, 19, 20, 39, 40)] == pytest.approx([0.5, 1, 1, 0.1, 0.1, 0.01])
