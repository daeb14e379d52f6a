import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from mmclip.engine.param_group_rules import RegexOptimWrapperConstructor


def adam(params, **kwargs):
    return OPTIMIZERS.build(dict(type='mmclip.BertAdam', params=params, **kwargs))


def test_two_steps_by_hand():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = adam([weight], lr=0.1, betas=(0.5, 0.75), eps=0.0, weight_decay=0.2)
    weight.grad = torch.tensor([0.8])
    optimizer.step()
    # m = 0.4, v = 0.16: no bias correction.
    first = 1 - 0.1 * (0.4 / 0.4 + 0.2 * 1)
    assert float(weight) == pytest.approx(first, rel=1e-6)
    weight.grad = torch.tensor([-4.0])  # clipped to -1
    optimizer.step()
    mean, square = 0.5 * 0.4 - 0.5, 0.75 * 0.16 + 0.25
    second = first - 0.1 * (mean / math.sqrt(square) + 0.2 * first)
    assert float(weight) == pytest.approx(second, rel=1e-5)


def test_each_tensor_is_clipped_by_itself_and_some_have_no_gradient():
    big, small, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    optimizer = adam([big, small, none], lr=1.0, betas=(0.0, 0.0), eps=1.0, weight_decay=0.0)
    big.grad, small.grad = torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4])
    optimizer.step()
    torch.testing.assert_close(big.data, -torch.tensor([0.6 / 1.6, 0.8 / 1.8]))
    torch.testing.assert_close(small.data, -torch.tensor([0.3 / 1.3, 0.4 / 1.4]))
    assert none.abs().max() == 0 and none not in optimizer.state
    free = nn.Parameter(torch.zeros(2))
    optimizer = adam([free], lr=1.0, betas=(0.0, 0.0), eps=1.0, max_grad_norm=None)
    free.grad = torch.tensor([30.0, 40.0])
    optimizer.step()
    torch.testing.assert_close(free.data, -torch.tensor([30 / 31, 40 / 41]))


def test_it_goes_on_from_its_state():
    torch.manual_seed(0)
    gradients = torch.randn(6, 3)

    def run(first, last, state=None, start=None):
        weight = nn.Parameter(torch.ones(3) if start is None else start.clone())
        optimizer = adam([weight], lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        for gradient in gradients[first:last]:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach(), optimizer.state_dict()

    half, state = run(0, 3)
    assert torch.equal(run(3, 6, state, half)[0], run(0, 6)[0])


@pytest.mark.parametrize(
    'bad',
    [dict(lr=-1), dict(lr=1, betas=(1.0, 0)), dict(lr=1, eps=-1), dict(lr=1, max_grad_norm=0)],
)
def test_numbers_out_of_range(bad):
    with pytest.raises(ValueError, match='allowed'):
        adam([nn.Parameter(torch.zeros(1))], **bad)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.clip = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)
        self.head.bias.requires_grad_(False)


def test_rules_multiply_and_groups_hold_equal_settings():
    cfg = dict(
        type='OptimWrapper',
        constructor='mmclip.RegexOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=1.0, weight_decay=0.5),
        paramwise_cfg=dict(
            rules=[dict(pattern=r'^clip\.', lr_mult=0.1), dict(pattern='bias', decay_mult=0)]
        ),
    )
    model = Tower()
    wrapper = build_optim_wrapper(model, cfg)
    found = {
        tuple(id(p) for p in group['params']): (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }
    assert found == {
        (id(model.clip.weight),): (0.1, 0.5),
        (id(model.clip.bias),): (0.1, 0.0),
        (id(model.head.weight),): (1.0, 0.5),
        (id(model.head.bias),): (1.0, 0.0),
    }


@pytest.mark.parametrize(
    'rules', [[dict(lr_mult=1)], [dict(pattern='clip', lr=1)], [dict(pattern='clipp', lr_mult=1)]]
)
def test_bad_rules(rules):
    with pytest.raises(ValueError, match='rules'):
        RegexOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=1.0)), dict(rules=rules))(
            Tower()
        )
    with pytest.raises(ValueError, match='custom_keys'):
        RegexOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=1.0)), dict(custom_keys={}))


@pytest.mark.parametrize('wrapper', ['module', '_orig_mod', '_fsdp_wrapped_module'])
def test_names_are_those_of_the_model_inside_of_a_wrapper(wrapper):
    outer = nn.Module()
    outer.add_module(wrapper, Tower())
    rules = [dict(pattern=r'^clip\.', lr_mult=0.1)]
    groups = RegexOptimWrapperConstructor(dict(optimizer=dict(lr=1.0)), dict(rules=rules)).groups(
        outer
    )
    assert [(group['lr'], group['names']) for group in groups] == [
        (0.1, ['clip.weight', 'clip.bias']),
        (1.0, ['head.weight', 'head.bias']),
    ]
