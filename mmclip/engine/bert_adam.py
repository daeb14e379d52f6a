"""Adam as BERT's first training used it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from mmclip.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class BertAdam(Optimizer):
    r"""Adam without bias correction, with decoupled decay and a clip of each tensor's gradient.

    .. math:: g &\leftarrow g \min(1, c / |g|) \quad
              m \leftarrow \beta_1 m + (1 - \beta_1) g \quad
              v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
              p &\leftarrow p - lr \big( m / (\sqrt v + \epsilon) + \lambda p \big)

    The rate is a scheduler's work (:class:`mmclip.WarmupCosineLR` with ``start_factor=end_factor=
    delay=0`` is the official one).

    Source: official ``BertAdam`` of CLIP4Clip, which has the schedule inside.

    Args:
        params: Parameters or groups.
        lr: Rate.
        betas: Of the two means.
        eps: Added to the root of v.
        weight_decay: lambda.
        max_grad_norm: c, of each tensor by itself; None for no clip.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
    ) -> None:
        for name, value in (('lr', lr), ('eps', eps), ('weight_decay', weight_decay)):
            if not value >= 0:
                raise ValueError(f'{name}: {value}; allowed are 0 and more')
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f'betas: {betas}; allowed are 0 to below 1')
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(f'max_grad_norm: {max_grad_norm}; allowed are positive numbers, None')
        defaults = dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, max_grad_norm=max_grad_norm
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One step of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group['params'] if p.grad is not None]
            if parameters:
                self._step(group, parameters)
        return loss

    def _step(self, group: dict, parameters: list[torch.Tensor]) -> None:
        gradients = [p.grad for p in parameters]
        if group['max_grad_norm'] is not None:
            norms = torch._foreach_norm(gradients)
            # As torch.nn.utils.clip_grad_norm_, tensor by tensor.
            shares = [(group['max_grad_norm'] / (norm + 1e-6)).clamp(max=1) for norm in norms]
            gradients = torch._foreach_mul(gradients, shares)
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = dict(
                    mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter)
                )
        means = [self.state[p]['mean'] for p in parameters]
        squares = [self.state[p]['square'] for p in parameters]
        first, second = group['betas']
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        updates = torch._foreach_sqrt(squares)
        torch._foreach_add_(updates, group['eps'])
        updates = torch._foreach_div(means, updates)
        if group['weight_decay']:
            torch._foreach_add_(updates, parameters, alpha=group['weight_decay'])
        torch._foreach_add_(parameters, updates, alpha=-group['lr'])
