import pytest
import torch
from torch import nn

from mmclip.clip.pretrained import FrozenMixin, PretrainedMixin


class Model(FrozenMixin, PretrainedMixin, nn.Module):
    pretrained_part = frozen_part = 'tower'

    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        self.head = nn.BatchNorm1d(1)
        self.loads = 0

    def load_pretrained(self):
        self.loads += 1


def test_weights_are_loaded_once_and_not_over_a_checkpoint():
    model = Model()
    model.load_state_dict({'head.weight': torch.ones(1)}, strict=False)
    assert not model.is_filled
    model.init_weights()
    model.init_weights()
    assert model.is_filled and model.loads == 1
    other = nn.ModuleDict({'inner': Model()})
    other.load_state_dict(nn.ModuleDict({'inner': model}).state_dict())
    other['inner'].init_weights()
    assert other['inner'].is_filled and not other['inner'].loads


@pytest.mark.parametrize(
    'frozen, norm_eval, modes',
    [(True, False, [False] * 3), (False, True, [True, True, False]), (False, False, [True] * 3)],
)
def test_what_is_frozen_stays_in_eval_mode(frozen, norm_eval, modes):
    model = Model()
    model.frozen, model.norm_eval = frozen, norm_eval
    assert model.train() is model and model.training and model.head.training
    assert [module.training for module in model.tower.modules()] == modes
    assert not any(module.training for module in model.eval().modules())
