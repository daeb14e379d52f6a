"""Rename the weights of a checkpoint by rules: what all converters share."""

import re
from collections.abc import Callable, Iterable

import torch

Rule = tuple[str, str | Callable[[re.Match], str]]


def rename(name: str, rules: Iterable[Rule], *, prefix: bool = False) -> str | None:
    r"""The new name of a weight by the first rule that fits; None if none does.

    Args:
        name: The old one.
        rules: Regular expressions, each with what becomes of the match: a template
            (``r'blocks.\1'``), a function of the match, or ``''`` for a weight that nothing reads.
        prefix: Whether a pattern is that of a name's beginning, whose end stays; else of all of it.
    """
    match = re.match if prefix else re.fullmatch
    for pattern, new in rules:
        if found := match(pattern, name):
            return (new(found) if callable(new) else found.expand(new)) + name[found.end() :]
    return None


def as_float(value: torch.Tensor) -> torch.Tensor:
    """Weights in float32; whole numbers, such as the steps of a batch norm, as they are."""
    return value.float() if value.is_floating_point() else value
