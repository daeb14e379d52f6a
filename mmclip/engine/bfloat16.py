"""Mixed precision where there is no accelerator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmclip.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs the model under autocast with bfloat16, on any device.

    bfloat16 has the range of float32, so the loss is not scaled. Without an accelerator, where
    MMEngine's ``AmpOptimWrapper`` refuses to run, ``tools/train.py`` takes this class for it if its
    ``dtype`` is ``'bfloat16'``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
