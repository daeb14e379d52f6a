"""Searches the share of PointCLIP's partner network before a test."""

import math
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmclip.engine.view_weight_search_hook import collect, unwrapped, validation_loader
from mmclip.registry import HOOKS

RATIOS = (0.0, *(2.0 ** (i / 2) for i in range(-6, 12)))


@HOOKS.register_module()
class LogitRatioSearchHook(Hook):
    """Collects both networks' logits on the validation split and tests with the best ratio.

    The first ratio with the most clouds named right wins. The config needs a ``val_dataloader``
    with labels of the test's classes.

    Source: PointCLIP, section 3.4, adds the logits; how the ratio is found is not said there.

    Args:
        ratios: What ``logit_ratio`` may be.

    Raises:
        ValueError: no ratio, a negative or infinite one. When it runs: a model without a partner.
    """

    priority = 'LOW'  # after weights of the views are searched

    def __init__(self, *, ratios: Sequence[float] = RATIOS) -> None:
        self.ratios = tuple(float(ratio) for ratio in ratios)
        if not self.ratios or not all(math.isfinite(r) and r >= 0 for r in self.ratios):
            raise ValueError(f'ratios: {ratios!r:.80}; allowed are finite numbers from 0 on')

    def before_test_epoch(self, runner: Runner) -> None:
        """Search; the classes of the test are set by then."""
        model = unwrapped(runner.model)
        if getattr(model, 'ensemble', None) is None:
            raise ValueError(
                f'model: {type(model).__name__} has no partner whose logits could be added; give '
                'model.ensemble=dict(model=..., pretrained=...)'
            )
        pairs, labels = collect(
            model,
            validation_loader(runner),
            lambda inputs: torch.stack(model.both_logits(inputs), 1),
        )
        if not len(labels):
            raise ValueError('val_dataloader: not one cloud with a label to search a ratio on')
        found = best_ratio(pairs[:, 0], pairs[:, 1], labels, self.ratios)
        model.logit_ratio = found
        right = (pairs[:, 0] + found * pairs[:, 1]).argmax(1) == labels
        print_log(
            f'logit_ratio {found:.4g}: {100 * right.float().mean():.2f} % of {len(labels)} '
            'clouds of the validation split',
            'current',
        )


def best_ratio(
    own: torch.Tensor, other: torch.Tensor, labels: torch.Tensor, ratios: Sequence[float]
) -> float:
    """The first ratio under which own + ratio x other names the most right.

    Shapes:
        own, other (N, K), labels (N,).
    """
    right = [int(((own + ratio * other).argmax(1) == labels).sum()) for ratio in ratios]
    return ratios[right.index(max(right))]
