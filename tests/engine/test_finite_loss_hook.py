"""A run stops at the first number that is none, and says which."""

from types import SimpleNamespace

import pytest
import torch

from mmclip.engine.finite_loss_hook import FiniteLossHook


def runner(model=None, **losses):
    scalars = {
        f'train/{name}': SimpleNamespace(current=lambda value=value: value)
        for name, value in losses.items()
    }
    hub = SimpleNamespace(log_scalars=scalars, runtime_info=dict(last_ckpt='a/iter_5.pth'))
    return SimpleNamespace(message_hub=hub, iter=6, model=model)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('number', [0, 3, 5])
def test_one_element_of_one_parameter_is_enough(value, number):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(3, 2))
    FiniteLossHook().before_checkpoint(runner(model))
    with torch.no_grad():
        model[1].weight.view(-1)[number] = value
    with pytest.raises(FloatingPointError, match=r'parameter 1\.weight .*no checkpoint .*iter_5'):
        FiniteLossHook().before_checkpoint(runner(model))


def test_a_model_without_parameters_is_finite():
    FiniteLossHook().before_checkpoint(runner(torch.nn.Identity()))
    FiniteLossHook().before_checkpoint(runner(torch.nn.Linear(0, 0)))


def test_the_part_that_is_no_number_is_named_and_not_the_sum():
    nan = float('nan')
    outputs = dict(loss=nan, loss_box=1.0, loss_class=nan)
    with pytest.raises(FloatingPointError, match='^loss_class is nan at iteration 7; .*iter_5'):
        FiniteLossHook().after_train_iter(runner(**outputs), 0, outputs=outputs)
    with pytest.raises(FloatingPointError, match='^loss is nan'):
        FiniteLossHook().after_train_iter(runner(loss=nan), 0, outputs=dict(loss=nan))
    FiniteLossHook().after_train_iter(runner(loss=1e30), 0, outputs=dict(loss=1e30))
    FiniteLossHook().after_train_iter(runner(), 0, outputs=None)
