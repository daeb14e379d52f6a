"""What is said about the batch of a contrastive loss."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from mmclip import config_path
from mmclip.engine import contrastive_batch_hook
from mmclip.engine.contrastive_batch_hook import ContrastiveBatchHook
from mmclip.registry import MODELS


@pytest.fixture
def said(monkeypatch) -> list[tuple[str, int]]:
    lines = []
    monkeypatch.setattr(
        contrastive_batch_hook,
        'print_log',
        lambda line, logger, level=logging.INFO: lines.append((line, level)),
    )
    return lines


def runner(compares: bool, counts: int) -> SimpleNamespace:
    model = torch.nn.Linear(1, 1)
    model.compares_samples = compares
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1), accumulative_counts=counts)
    loader = DataLoader([0] * 32, batch_size=16)
    model.chunk_hint = 'model.chunk_size (pairs at a time)'
    return SimpleNamespace(model=model, optim_wrapper=wrapper, train_dataloader=loader)


def test_accumulation_is_warned_of_with_what_to_do_instead(said):
    ContrastiveBatchHook().before_train(runner(True, 4))
    (_, info), (warning, level) = said
    assert info == logging.INFO and level == logging.WARNING
    assert 'accumulative_counts=4' in warning and 'not the loss of a batch of 64' in warning
    assert (
        'batch_size=64 and, to stay in memory, model.chunk_size (pairs at a time) at 16' in warning
    )


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='mmclip.ContrastiveLoss'),
        dict(type='mmclip.MultiPositiveKLLoss'),
        dict(type='mmclip.VideoTextLoss'),
        dict(type='mmclip.InterImageRegionWordLoss', region_dim=2, word_dim=2),
    ],
    ids=lambda loss: loss['type'],
)
def test_a_loss_that_compares_samples_speaks_for_any_model_around_it(said, loss):
    own = runner(False, 2)
    del own.model.chunk_hint
    own.model.loss = MODELS.build(loss)
    ContrastiveBatchHook().before_train(own)
    assert said[-1][1] == logging.WARNING
    assert said[-1][0].endswith('For that take train_dataloader.batch_size=32')


@pytest.mark.parametrize(
    'name, hint',
    [
        ('clip_zero_shot/mini/clip_contrastive_mini.py', 'model.chunk_size (pairs at a time)'),
        ('group_vit/mini/group_vit_one_stage_mini.py', 'model.train_cfg.chunk_size (images) and'),
        ('clip4clip/mini/clip4clip_meanp_mini.py', 'model.frame_chunk (frames at a time)'),
        ('action_clip/mini/action_clip_transf_mini.py', 'batch_size=64'),
        ('glipv2/mini/glipv2_mini.py', 'batch_size=64'),
        ('glip/mini/glip_t_mini.py', None),
        ('vild/mini/vild_text_r18_mini.py', None),
    ],
)
def test_every_config_has_the_hook_once_and_its_model_says_what_it_does(said, name, hint):
    cfg = Config.fromfile(config_path(name))
    hooks = [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]
    assert [hook['type'] for hook in hooks].count('mmclip.ContrastiveBatchHook') == 1
    init_default_scope(cfg.default_scope)
    own = runner(False, 4)
    own.model = MODELS.build(cfg.model)
    ContrastiveBatchHook().before_train(own)
    if hint is None:
        assert said == []
    else:
        assert said[-1][1] == logging.WARNING and hint in said[-1][0]


def test_without_accumulation_only_the_batch_is_told(said):
    ContrastiveBatchHook().before_train(runner(True, 1))
    assert said == [('each sample is compared with 15 others', logging.INFO)]


def test_models_that_do_not_compare_are_left_alone(said):
    ContrastiveBatchHook().before_train(runner(False, 4))
    assert said == []
