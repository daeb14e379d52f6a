"""What an adapter gets (:class:`Case`) and gives back, and the one rule by which both are compared.

An adapter module ``parity/adapters/<method>.py`` holds one dict::

    ADAPTERS = {'vit_forward': vit_forward, 'full_keys_openai_*': openai_keys}

from the name of a case, or a glob over names, to a function of a :class:`Case`. It loads
``case.state`` through the converter that a user runs, runs our modules on ``case.inputs`` and
returns

- a dict from the names in ``case.outputs`` to what we computed. Every output must be answered. A
  name ``'negative_control/...'`` is one that must NOT be reproduced;
- or a list of :class:`Comparison` (ours against any reference, e.g. one out of ``case.sidecar``)
  and :class:`Measure` (an error and a bound of the case's own, e.g. a probability). Outputs of the
  fixture that such a list does not name must still be answered; a ``Measure`` may cover several.

Sizes are read from ``case.config`` and from shapes, never written down: the same adapters are run
on fixtures with other seeds, dimensions, batches and image sizes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

NEGATIVE = 'negative_control/'
SENTINEL = 1e6  # masked logits; like infinities they must be equal and do not count for the scale


@dataclass(frozen=True)
class Case:
    """One row of ``cases.json`` and the files that belong to it.

    Args:
        name: e.g. ``'vit_forward'``.
        kind: ``tensors``, ``values``, ``keys``, ``checkpoint`` or ``info``.
        folder: Where the files are.
        files: Names of files, and of folders (ending in ``/``).
        tolerance: From ``cases.json``.
    """

    name: str
    kind: str
    folder: Path
    files: tuple[str, ...]
    tolerance_row: dict[str, Any] = field(default_factory=dict)

    def path(self, end: str) -> Path:
        """The one file or folder of the case whose name ends so."""
        found = [name for name in self.files if name.rstrip('/').endswith(end)]
        if len(found) != 1:
            raise ValueError(f'{self.name}: {len(found)} files end in {end!r}: {self.files}')
        return self.folder / found[0]

    def json(self, end: str) -> Any:
        """The content of the json file whose name ends so."""
        return json.loads(self.path(end).read_text())

    @cached_property
    def sidecar(self) -> Any:
        """The json named after the case or, failing that, beside the case's tensors."""
        names = [name for name in self.files if name.endswith('.json')]
        stems = [Path(n).stem for n in self.files if n.endswith('.safetensors')]
        for stem in (self.name, *stems):
            if f'{stem}.json' in names:
                return json.loads((self.folder / f'{stem}.json').read_text())
        return json.loads((self.folder / names[0]).read_text()) if len(names) == 1 else {}

    @property
    def config(self) -> dict[str, Any]:
        """The constructor arguments in the sidecar."""
        return self.sidecar.get('config', {}) if isinstance(self.sidecar, dict) else {}

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the fixture under their full names."""
        tensors = {}
        for name in self.files:
            if name.endswith('.safetensors'):
                tensors.update(safetensors.torch.load_file(self.folder / name))
        return tensors

    def _group(self, prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """Weights under their official names."""
        return self._group('state/')

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        return self._group('input/')

    @property
    def outputs(self) -> dict[str, torch.Tensor]:
        return self._group('output/')

    @property
    def tolerance(self) -> dict[str, Any]:
        """``cases.json``'s, overruled by the sidecar's."""
        own = self.sidecar.get('tolerance') if isinstance(self.sidecar, dict) else None
        return {**self.tolerance_row, **(own if isinstance(own, dict) else {})}

    @cached_property
    def key_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of a ``keys`` case (shapes may be given as ``[dtype, shape]``)."""
        shapes = {}
        for name, value in self.json('.json').items():
            if not isinstance(value, list):
                continue  # a note
            nested = [part for part in value if isinstance(part, list)]
            shapes[name] = tuple(nested[0] if nested else value)
        return shapes

    def key_state(self) -> dict[str, torch.Tensor]:
        """A state dict of a ``keys`` case on the meta device: shapes without memory."""
        return {
            name: torch.empty(shape, device='meta', dtype=_key_dtype(name))
            for name, shape in self.key_shapes.items()
        }


def _key_dtype(name: str) -> torch.dtype:
    integer = name.endswith(('num_batches_tracked', 'position_ids', 'relative_position_index'))
    return torch.int64 if integer else torch.float32


@dataclass(frozen=True)
class Comparison:
    """Our value beside the reference's.

    Args:
        name: The output's name, or any.
        ours: Tensor, array, number, string, bool, None, or a list or dict of such.
        reference: As ``ours``.
        tolerance: Replaces the case's ``rtol`` and ``atol``; ``{'exact': True}`` asks for equality.
        differ: Whether the two must not agree (a negative control).
    """

    name: str
    ours: Any
    reference: Any
    tolerance: dict[str, Any] | None = None
    differ: bool = False


@dataclass(frozen=True)
class Measure:
    """An error by a measure of the case's own; passes when ``error <= bound``.

    Args:
        name: The output's name, or any.
        error: Non-negative.
        bound: From ``case.tolerance``.
        covers: Further outputs of the fixture that this one measure answers.
    """

    name: str
    error: float
    bound: float
    covers: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.error <= self.bound  # a NaN fails

    @property
    def excess(self) -> float:
        """error / bound, by which the worst of a case is found."""
        if math.isnan(self.error):
            return math.inf
        return self.error / self.bound if self.bound else (math.inf if self.error else 0.0)


def _as_tensor(value: Any) -> torch.Tensor | None:
    """Numbers, arrays and nested lists of numbers as a tensor; None for anything else."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, str | bytes | dict | None):
        return None
    if isinstance(value, list | tuple) and not value:
        return None
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _tensor_error(ours: torch.Tensor, reference: torch.Tensor) -> tuple[float, float]:
    """(max |ours - reference|, largest finite magnitude of the reference)."""
    if ours.shape != reference.shape:
        return math.inf, 0.0
    wide = torch.complex128 if reference.is_complex() else torch.float64
    ours, reference = ours.to(wide), reference.to(wide)
    if reference.numel() == 0:
        return 0.0, 0.0
    special = ~torch.isfinite(reference) | (reference.abs() == SENTINEL)
    same = (ours == reference) | (ours.isnan() & reference.isnan())
    if not bool(same[special].all()):
        return math.inf, 0.0
    difference = (ours - reference)[~special].abs()
    if difference.numel() == 0:
        return 0.0, 0.0
    if bool(difference.isnan().any()):
        return math.inf, 0.0
    return float(difference.max()), float(reference[~special].abs().max())


def measure(comparison: Comparison, tolerance: dict[str, Any]) -> Measure:
    """Apply the rule: max |ours - reference| <= atol + rtol * S; everything discrete is equal."""
    name, differ = comparison.name, comparison.differ
    ours, reference = _as_tensor(comparison.ours), _as_tensor(comparison.reference)
    if ours is None or reference is None:
        result = _measure_parts(comparison, tolerance)
    elif not (reference.is_floating_point() or reference.is_complex()):
        if ours.shape != reference.shape:
            result = Measure(name, math.inf, 0.0)
        elif reference.numel() == 0:
            result = Measure(name, 0.0, 0.0)
        else:
            wide = torch.float64 if ours.is_floating_point() else torch.int64
            result = Measure(name, float((ours.to(wide) != reference.to(wide)).sum()), 0.0)
    else:
        allowed = comparison.tolerance or tolerance
        error, scale = _tensor_error(ours, reference)
        if allowed.get('exact'):
            result = Measure(name, error, 0.0)
        elif 'atol' in allowed or 'rtol' in allowed:
            bound = allowed.get('atol', 0.0) + allowed.get('rtol', 0.0) * scale
            result = Measure(name, error, bound)
        else:
            raise ValueError(
                f'{name}: the tolerance {allowed} has a measure of its own: return a Measure'
            )
    if differ:
        return Measure(name, 0.0 if not result.passed else math.inf, 0.0)
    return result


def _measure_parts(comparison: Comparison, tolerance: dict[str, Any]) -> Measure:
    """The worst part of lists and dicts; strings, None and the like are equal or not."""
    name, ours, reference = comparison.name, comparison.ours, comparison.reference
    if isinstance(ours, dict) and isinstance(reference, dict):
        if ours.keys() != reference.keys():
            return Measure(f'{name}: keys {sorted(ours.keys() ^ reference.keys())}', math.inf, 0.0)
        pairs = [(f'{name}.{key}', ours[key], reference[key]) for key in reference]
    elif isinstance(ours, list | tuple) and isinstance(reference, list | tuple):
        if len(ours) != len(reference):
            return Measure(f'{name}: {len(ours)} not {len(reference)} items', math.inf, 0.0)
        pairs = [
            (f'{name}[{i}]', a, b) for i, (a, b) in enumerate(zip(ours, reference, strict=True))
        ]
    else:
        return Measure(name, 0.0 if ours == reference else math.inf, 0.0)
    parts = [measure(Comparison(n, a, b, comparison.tolerance), tolerance) for n, a, b in pairs]
    worst = max(parts, key=lambda part: part.excess, default=Measure(name, 0.0, 0.0))
    return worst if not worst.passed else Measure(name, worst.error, worst.bound)


def judge(case: Case, returned: dict[str, Any] | Sequence[Comparison | Measure]) -> list[Measure]:
    """All measures of a case from what its adapter returned."""
    references = {**case.outputs, **{k: v for k, v in case.tensors.items() if NEGATIVE in k}}
    if isinstance(returned, dict):
        unknown = returned.keys() - references.keys()
        if unknown:
            raise ValueError(f'{case.name}: the fixture has no outputs {sorted(unknown)}')
        returned = [
            Comparison(name, ours, references[name], differ=name.startswith(NEGATIVE))
            for name, ours in returned.items()
        ]
    returned = list(returned)
    measures = [
        part if isinstance(part, Measure) else measure(part, case.tolerance) for part in returned
    ]
    answered = {part.name for part in returned}
    answered.update(name for part in returned for name in getattr(part, 'covers', ()))
    measures += [
        Measure(f'{name}: not answered', math.inf, 0.0) for name in case.outputs.keys() - answered
    ]
    if not measures:
        raise ValueError(f'{case.name}: the adapter compared nothing')
    return measures


def compare_keys(
    converted: dict[str, torch.Tensor], model: torch.nn.Module | dict[str, torch.Tensor]
) -> list[Comparison]:
    """For ``keys`` cases: converted names and shapes are exactly those of our model.

    Args:
        converted: What the converter made of :meth:`Case.key_state`.
        model: Ours, best built under ``torch.device('meta')``, or its state dict.
    """
    own = model if isinstance(model, dict) else model.state_dict()
    ours = {name: list(value.shape) for name, value in own.items()}
    theirs = {name: list(value.shape) for name, value in converted.items()}
    return [Comparison('keys', ours, theirs)]
