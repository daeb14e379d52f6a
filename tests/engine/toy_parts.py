"""A run that takes a second, for tests in subprocesses: noisy data, dropout, BN, EMA, a metric.

Configs of :mod:`toy_runs` import it by ``custom_imports``.
Every source of randomness that a real run has is there: Python's, NumPy's and torch's generators in
the data, torch's in the model, and a validation that draws numbers.
"""

import os
import random
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from torch import nn


@TRANSFORMS.register_module()
class ToyAugment:
    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, results: dict) -> dict:
        noise = self.scale * (random.random() + np.random.rand() + float(torch.rand(())))
        inputs = torch.full((4,), results['value'] / 10) + noise * torch.rand(4)
        return dict(inputs=inputs, targets=torch.tensor([results['value'] / 10]))


@DATASETS.register_module()
class ToyDataset(BaseDataset):
    METAINFO = dict(classes=('a', 'b'))

    def __init__(self, *, size: int = 22, pipeline: list | None = None) -> None:
        self._size = size
        super().__init__(pipeline=[dict(type='ToyAugment')] if pipeline is None else pipeline)

    def load_data_list(self) -> list[dict]:
        return [dict(value=i) for i in range(self._size)]


@DATASETS.register_module()
class ToyStream(torch.utils.data.Dataset):
    """Answers in the order in which it is asked, whatever the index."""

    answers_in_order = True

    def __init__(self) -> None:
        self._next, self._augment = 0, ToyAugment()

    def __len__(self) -> int:
        return 22

    def __getitem__(self, index: int) -> dict:
        self._next += 1
        return self._augment(dict(value=self._next))


@DATASETS.register_module()
class ToyShards(ToyStream):
    """A stream for each worker, seed and epoch, which can leave samples out."""

    metainfo = ToyDataset.METAINFO

    def __init__(self) -> None:
        super().__init__()
        self._order = None

    def full_init(self) -> None:
        pass

    def set_order(self, seed: int, epoch: int) -> None:
        if self._order != (seed, epoch):
            info = torch.utils.data.get_worker_info()
            self._order = seed, epoch
            self._next = 1000 * (1 + epoch) + 100 * (info.id if info else 0)

    def skip(self, index: int) -> None:
        self._next += 1


@MODELS.register_module()
class ToyModel(BaseModel):
    """Args: nan_at: iteration (from 1) at which a loss is not a number; sleep: seconds each."""

    def __init__(self, *, nan_at: int = 0, sleep: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 1)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.nan_at, self.sleep, self.calls = nan_at, sleep, 0

    def forward(self, inputs, targets, mode: str = 'tensor'):
        inputs, targets = torch.stack(list(inputs)), torch.stack(list(targets))
        output = self.head(self.body(inputs))
        if mode == 'predict':
            return list((output - targets).abs().detach())
        self.calls += 1
        time.sleep(self.sleep)
        loss = (output - targets).square().mean()
        bad = loss * float('nan') if self.calls == self.nan_at else output.abs().mean()
        return dict(loss_square=loss, loss_size=0.1 * bad)


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Sum of errors, and noise from the global generators, as metrics that sample have."""

    def process(self, data_batch, data_samples) -> None:
        np.random.rand(), torch.rand(()), random.random()
        self.results.extend(float(sample) for sample in data_samples)

    def compute_metrics(self, results: list) -> dict:
        return dict(acc=-sum(results) / len(results))


@HOOKS.register_module()
class ToyLog(Hook):
    """Appends a line to ``order.txt`` of the work dir: iteration and the batch's sum."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        total = float(sum(x.double().sum() for x in data_batch['inputs']))
        with open(Path(runner.work_dir) / f'order_{runner.rank}.txt', 'a') as stream:
            print(runner.iter + 1, total.hex(), file=stream)


@HOOKS.register_module()
class ToySignal(Hook):
    """Sends a signal to this very process when an iteration is done, on one rank.

    Args:
        what: At which moment: ``'train'``, in the middle of writing the checkpoint (``'save'``) or
            of the validation that follows (``'val'``).
    """

    priority = 'VERY_HIGH'

    def __init__(self, *, at: int, number: int = 15, rank: int = 0, what: str = 'train') -> None:
        self.at, self.number, self.rank, self.what = at, number, rank, what

    def _send(self, runner, what: str, done: int) -> None:
        if (what, done, runner.rank) == (self.what, self.at, self.rank):
            os.kill(os.getpid(), self.number)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._send(runner, 'train', runner.iter + 1)

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        done, put = checkpoint['meta']['iter'], LocalBackend.put

        def put_half(backend, content: bytes, path: str) -> None:
            put(backend, content[: len(content) // 2], path)
            self._send(runner, 'save', done)
            put(backend, content, path)

        LocalBackend.put = put_half if self.what == 'save' else put

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if batch_idx == 0:
            self._send(runner, 'val', runner.iter)
