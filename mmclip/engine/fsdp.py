"""What large models need of FSDP: units by the names of classes, and gradients clipped as one."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import FUNCTIONS
from torch import nn

from mmclip.registry import OPTIM_WRAPPERS


@FUNCTIONS.register_module(force=True)
def wrap_classes(
    module: nn.Module, recurse: bool, nonwrapped_numel: int, *, names: Sequence[str]
) -> bool:
    """An ``auto_wrap_policy``: each module of the named classes is a unit of its own.

    A unit's weights are whole only while its ``forward`` runs. So a unit must be a module that
    nobody reaches into: a transformer block, not its linear layers (GLIP's fusion multiplies their
    weights together).

    Args:
        module: Which one.
        recurse: Whether FSDP asks if it should look inside.
        nonwrapped_numel: Its parameters that are in no unit yet.
        names: Names of classes.
    """
    return recurse or type(module).__name__ in names


class ShardedClip:
    """Clips by the norm over all processes, whose gradients are parts of one."""

    def _clip_grad(self) -> None:
        parameters = [
            p
            for group in self.optimizer.param_groups
            for p in group['params']
            if p.requires_grad and p.grad is not None
        ]
        limit = self.clip_grad_kwargs['max_norm']
        device = parameters[0].grad.device if parameters else 'cpu'
        parts = [p.grad.float().norm() ** 2 for p in parameters]
        total = sum(parts, torch.zeros((), device=device))
        if dist.is_initialized():
            dist.all_reduce(total)
        norm = total.sqrt()
        torch._foreach_mul_([p.grad for p in parameters], (limit / (norm + 1e-6)).clamp(max=1))
        self.message_hub.update_scalar('train/grad_norm', float(norm))


@OPTIM_WRAPPERS.register_module()
class ShardedOptimWrapper(ShardedClip, OptimWrapper):
    """MMEngine's ``OptimWrapper`` for FSDP: ``clip_grad`` sees the whole gradient.

    MMEngine's clips by the norm of the part that a process holds.
    """


@OPTIM_WRAPPERS.register_module()
class ShardedAmpOptimWrapper(ShardedClip, AmpOptimWrapper):
    """The same in mixed precision. Take ``use_fsdp=True``."""
