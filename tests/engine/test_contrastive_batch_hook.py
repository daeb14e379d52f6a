"""What is said about the batch of a contrastive loss."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from mmclip.engine import contrastive_batch_hook
from mmclip.engine.contrastive_batch_hook import ContrastiveBatchHook


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
    return SimpleNamespace(model=model, optim_wrapper=wrapper, train_dataloader=loader)


def test_accumulation_is_warned_of_with_what_to_do_instead(said):
    ContrastiveBatchHook().before_train(runner(True, 4))
    (_, info), (warning, level) = said
    assert info == logging.INFO and level == logging.WARNING
    assert 'accumulative_counts=4' in warning and 'not the loss of a batch of 64' in warning
    assert "batch_size=64 and, to stay in memory, the model's chunk_size at 16" in warning


def test_without_accumulation_only_the_batch_is_told(said):
    ContrastiveBatchHook().before_train(runner(True, 1))
    assert said == [('each sample is compared with 15 others', logging.INFO)]


def test_models_that_do_not_compare_are_left_alone(said):
    ContrastiveBatchHook().before_train(runner(False, 4))
    assert said == []
