"""Augmentation of clips as the official code of ActionCLIP does it."""

import random

import numpy as np
import torch
import torchvision.transforms.v2 as tv
from mmcv.transforms import BaseTransform
from PIL import Image

from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FrameRandAugment(BaseTransform):
    """torchvision's RandAugment on the frames of a clip.

    Source: ActionCLIP's ``GroupTransform(RandAugment)``: N operations of strength M, drawn anew for
    every frame. ``per_clip=True`` draws them once, which keeps motion intact.

    Args:
        num_ops: N; 0 does nothing.
        magnitude: M, out of 31.
        per_clip: One draw for the whole clip.
    """

    def __init__(self, *, num_ops: int = 2, magnitude: int = 9, per_clip: bool = False) -> None:
        self.operation = tv.RandAugment(num_ops=num_ops, magnitude=magnitude) if num_ops else None
        self.per_clip = per_clip

    def transform(self, results: dict) -> dict:
        """Changes ``imgs``."""
        if self.operation is None:
            return results
        frames = torch.from_numpy(np.stack(results['imgs'])).permute(0, 3, 1, 2)
        if self.per_clip:
            frames = self.operation(frames)
        else:
            frames = torch.stack([self.operation(frame) for frame in frames])
        results['imgs'] = list(frames.permute(0, 2, 3, 1).numpy())
        return results


@TRANSFORMS.register_module()
class FrameColor(BaseTransform):
    """Color jitter and gray clips: whether is drawn per clip, how much per frame.

    Source: official ``GroupRandomColorJitter`` and ``GroupRandomGrayscale``.

    Args:
        brightness, contrast, saturation, hue: Ranges, as torchvision's ``ColorJitter``.
        prob: Of jitter.
        gray_prob: Of a gray clip.
        per_clip: The same factors for all frames of a clip.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        prob: float = 0.8,
        gray_prob: float = 0.2,
        per_clip: bool = False,
    ) -> None:
        self.jitter = tv.ColorJitter(brightness, contrast, saturation, hue)
        self.prob = prob
        self.gray_prob = gray_prob
        self.per_clip = per_clip

    def transform(self, results: dict) -> dict:
        """Changes ``imgs``."""
        if random.random() < self.prob:
            if self.per_clip:
                frames = torch.from_numpy(np.stack(results['imgs'])).permute(0, 3, 1, 2)
                results['imgs'] = list(self.jitter(frames).permute(0, 2, 3, 1).numpy())
            else:
                results['imgs'] = [
                    np.asarray(self.jitter(Image.fromarray(np.ascontiguousarray(frame))))
                    for frame in results['imgs']
                ]
        if random.random() < self.gray_prob:
            results['imgs'] = [
                np.asarray(Image.fromarray(np.ascontiguousarray(f)).convert('L').convert('RGB'))
                for f in results['imgs']
            ]
        return results
