"""timm's cosine schedule with warm-up, as GroupViT, ViT and Swin recipes use it."""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from torch.optim import Optimizer

from mmclip.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    r"""Linear warm-up, then a cosine over ALL steps, the warm-up counted.

    .. math:: lr(t) = \begin{cases} start + (1 - start)\, t / W & t < W \\
              end + \tfrac12 (1 - end) (1 + \cos(\pi t / T)) & else \end{cases} \quad \cdot base

    So the rate jumps down a little where the warm-up ends. Two schedulers of MMEngine's one after
    the other give another curve: its cosine starts at the top when the warm-up is over.

    Source: timm's ``CosineLRScheduler`` as the official GroupViT steps it: after each step with the
    number of that step, hence steps 0 and 1 both have t = 0 (``delay``).

    Args:
        optimizer: Or its wrapper.
        total: T, in epochs (``by_epoch``) or iterations.
        warmup: W, likewise.
        start_factor: Rate at the start as a share of the base rate.
        end_factor: Rate at the end as a share of the base rate.
        delay: Steps by which the curve is late.
        by_epoch: Whether the numbers are epochs; ``convert_to_iter_based=True`` in the config turns
            them into iterations and changes the rate at each.

    Raises:
        ValueError: a warm-up longer than the whole.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total: float,
        warmup: float = 0,
        start_factor: float = 0.0025,
        end_factor: float = 0.025,
        delay: int = 1,
        by_epoch: bool = True,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        verbose: bool = False,
        **kwargs: Any,
    ) -> None:
        if not 0 <= warmup <= total or total == 0:
            raise ValueError(f'warmup: {warmup}; allowed are 0 to total={total}')
        self.total, self.warmup, self.delay = total, warmup, delay
        self.start_factor, self.end_factor = start_factor, end_factor
        super().__init__(
            optimizer,
            param_name=kwargs.pop('param_name', 'lr'),
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, epoch_length: int, total: float, warmup: float = 0, **kwargs: Any
    ) -> 'WarmupCosineLR':
        """The same curve with a new rate at each iteration."""
        kwargs.pop('by_epoch', None)
        return cls(
            *args,
            total=total * epoch_length,
            warmup=warmup * epoch_length,
            by_epoch=False,
            **kwargs,
        )

    def factor(self, step: int) -> float:
        """Share of the base rate at a step."""
        t = min(max(step - self.delay, 0), self.total)
        if t < self.warmup:
            return self.start_factor + (1 - self.start_factor) * t / self.warmup
        cosine = math.cos(math.pi * t / self.total)
        return self.end_factor + (1 - self.end_factor) * (1 + cosine) / 2

    def _get_value(self) -> list[float]:
        factor = self.factor(self.last_step)
        return [base * factor for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupDecayLR(WarmupCosineLR):
    r"""Linear warm-up, then a curve of its own: a cosine over the steps that are left, or steps.

    .. math:: lr(t) = start + (1 - start)\, t / W \;\text{for}\; t < W, \quad
              end + \tfrac12 (1 - end) (1 + \cos(\pi (t - W) / (T - W))) \;\text{else}

    With ``milestones``: ``gamma`` to the number of milestones reached.

    Source: the official schedules of ActionCLIP (``WarmupCosineAnnealingLR`` and
    ``WarmupMultiStepLR``). MMEngine's ``LinearLR`` reaches the base rate one step early.

    Args:
        milestones: In epochs or iterations, as ``total``; None for the cosine.
        gamma: Factor at each milestone.
        kwargs: As :class:`WarmupCosineLR`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        milestones: Sequence[float] | None = None,
        gamma: float = 0.1,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        delay: int = 0,
        **kwargs: Any,
    ) -> None:
        self.milestones = None if milestones is None else tuple(milestones)
        self.gamma = gamma
        super().__init__(
            optimizer,
            start_factor=start_factor,
            end_factor=end_factor,
            delay=delay,
            **kwargs,
        )

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args: Any,
        epoch_length: int,
        milestones: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> 'WarmupDecayLR':
        """The same curve with a new rate at each iteration."""
        if milestones is not None:
            kwargs['milestones'] = [epoch * epoch_length for epoch in milestones]
        return super().build_iter_from_epoch(*args, epoch_length=epoch_length, **kwargs)

    def factor(self, step: int) -> float:
        """Share of the base rate at a step."""
        t = min(max(step - self.delay, 0), self.total)
        if t < self.warmup:
            return self.start_factor + (1 - self.start_factor) * t / self.warmup
        if self.milestones is not None:
            return self.gamma ** sum(t >= milestone for milestone in self.milestones)
        left = max(self.total - self.warmup, 1)
        cosine = math.cos(math.pi * (t - self.warmup) / left)
        return self.end_factor + (1 - self.end_factor) * (1 + cosine) / 2
