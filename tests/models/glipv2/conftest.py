"""Puts toy_glipv2, the model of these tests, on the path."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmclip.models  # noqa: F401
from mmclip.models.glipv2.detector import GLIPv2Detector

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture
def build() -> Callable[..., GLIPv2Detector]:
    from toy_glipv2 import build

    return build


@pytest.fixture
def batch() -> tuple[torch.Tensor, list]:
    """A detection and a grounding sample with masks."""
    from toy_glipv2 import sample

    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 64, 64, generator=generator), [
        sample(['cat', 'dog', 'red car'], [(4, 4, 36, 30), (30, 30, 60, 62)], [0, 2], masks=True),
        sample(['a red star', 'tree'], [(10, 20, 50, 52)], [0], det=False, masks=True),
    ]
