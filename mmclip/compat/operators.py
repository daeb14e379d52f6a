"""Operators and box heads that get values they cannot take."""

import functools
from types import ModuleType
from typing import Any

import torch


def make_inputs_contiguous(module: ModuleType, name: str) -> None:
    """Give an operator of MMCV its tensors in the memory layout that it takes for granted.

    Symptom: none, but wrong values, e.g. a RoI head that stays at chance, for a channels_last
    feature map (or strided RoIs); only ``deform_conv2d`` says ``input must be contiguous``.
    Cause: MMCV 2.1.0's kernels index the data as contiguous NCHW without looking at the strides.
    Drop it when MMCV checks or copies; tests/test_compat.py compares the layouts.

    Args:
        module: The operator's module.
        name: Its ``torch.autograd.Function`` there.
    """
    function = getattr(module, name)
    forward = function.forward
    if hasattr(forward, '__wrapped__'):
        return

    @functools.wraps(forward)
    def contiguous_forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        args = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in args]
        kwargs = {
            k: a.contiguous() if isinstance(a, torch.Tensor) else a for k, a in kwargs.items()
        }
        return forward(ctx, *args, **kwargs)

    function.forward = staticmethod(contiguous_forward)


def compute_in_float32(module: ModuleType, name: str, method: str) -> None:
    """Let a part of a detector that is about boxes take what mixed precision gives it.

    Symptom: ``expected scalar type Float but found BFloat16`` in proposals or RoI features.
    Cause: MMCV 2.1.0 has no RoIAlign and no NMS for bfloat16, nor for float16 on a CPU. MMDetection
    gives anchors and boxes the type of the maps: in bfloat16, those beyond 512 lie 4 pixels apart,
    so it is not enough to mend the operators.
    Drop it when MMCV has the kernels and MMDetection leaves anchors and boxes in float32.

    Args:
        module: The part's module.
        name: Its class there.
        method: What gets the tensors.
    """
    kind = getattr(module, name)
    function = getattr(kind, method)
    if hasattr(function, '__wrapped__'):
        return

    def widened(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            half_on_cpu = value.dtype == torch.float16 and value.device.type == 'cpu'
            return value.float() if half_on_cpu or value.dtype == torch.bfloat16 else value
        return [widened(part) for part in value] if isinstance(value, list | tuple) else value

    @functools.wraps(function)
    def in_float32(*args: Any, **kwargs: Any) -> Any:
        kwargs = {key: widened(value) for key, value in kwargs.items()}
        return function(*map(widened, args), **kwargs)

    static = isinstance(kind.__dict__[method], staticmethod)
    setattr(kind, method, staticmethod(in_float32) if static else in_float32)
