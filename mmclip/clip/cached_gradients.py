"""Large contrastive batches in little memory, with the gradients of the whole batch.

Accumulating gradients over small batches is not the same as a large batch where each sample is
compared with all others. Here the features of a large batch are made in chunks without keeping what
is in between, the loss is computed on all of them, and in the backward pass each chunk is computed
again, one at a time: the gradients are those of the whole batch, for a second forward pass.

    features = in_chunks(tower, images, 64)   # (4096, D), memory of 64
    loss = contrastive_loss(features, ...)

Source: the idea is that of GradCache (Gao et al. 2021, arXiv 2101.06983).
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def in_chunks(
    function: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    chunk_size: int | None,
) -> torch.Tensor:
    """``function(inputs)`` with the memory of one chunk, exact also in the gradients.

    What is random in the function (dropout, noise) is drawn chunk by chunk, and the same again in
    the backward pass.

    Args:
        function: Treats each sample by itself: (n, ...) -> (n, ...). Batch norm does not; put it
            behind the chunks.
        inputs: (N, ...).
        chunk_size: Samples at a time; None for all at once.

    Raises:
        ValueError: ``chunk_size`` is not positive; the function is a module, or a method of one,
            with batch norm that is training.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f'chunk_size: {chunk_size}; allowed are positive numbers and None')
    if chunk_size is None or len(inputs) <= chunk_size:
        return function(inputs)
    module = getattr(function, '__self__', function)  # of a method
    if isinstance(module, nn.Module):
        mixing = [
            name for name, m in module.named_modules() if isinstance(m, _BatchNorm) and m.training
        ]
        if mixing:
            raise ValueError(
                f'function: {mixing[0]!r} is a batch norm, which needs the whole batch; freeze it '
                'or put it behind the chunks'
            )
    if not torch.is_grad_enabled():
        return torch.cat([function(part) for part in inputs.split(chunk_size)])
    return torch.cat(
        [checkpoint(function, part, use_reentrant=False) for part in inputs.split(chunk_size)]
    )
