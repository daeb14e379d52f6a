"""Lets convolutions run in the memory order that they are fastest in."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmclip.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keeps the weights of 2D convolutions channels_last, so that their maps are too.

    The values are the same up to the order of summation; a checkpoint may be loaded with or
    without the hook. It pays where convolutions have few channels on a CPU, and on GPUs in half
    precision. Not for detectors that give channels_last maps to MMCV's RoIAlign on a CPU, which
    reads them wrongly.
    """

    def before_run(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                weight = module.weight
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
