"""Reading checkpoints: torch's allow-list and MMEngine's loaders."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.logging import HistoryBuffer

from mmclip.io.tensor_builders import ONE_CYCLE, Array, Kind, new_array, new_number
from mmclip.io.unpickle import Stub

_ONE_CYCLE = Stub(ONE_CYCLE)


def _attribute(owner: Any, name: str) -> Callable:
    """``getattr`` as far as MMEngine's checkpoints need it: six functions, by name."""
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    if owner is _ONE_CYCLE and name in ('_annealing_cos', '_annealing_linear'):
        from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

        return getattr(OneCycleParamScheduler, name)
    raise pickle.UnpicklingError(f'the attribute {name!r} of a {type(owner).__name__}: refused')


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read MMEngine's checkpoints with ``weights_only`` on.

    MMEngine itself reads them with :func:`read_checkpoints_safely`; this is for others.

    Symptom: ``UnpicklingError: Weights only load failed`` from ``torch.load``.
    Cause: torch >= 2.6 refuses classes it does not know, and MMEngine 0.10.7 stores its
    ``HistoryBuffer``, NumPy arrays and numbers, and methods of two classes by ``getattr``.
    Drop it when MMEngine allows them itself.

    Nothing that a file names is more than it must be. ``getattr`` gives those methods and nothing
    else, a class that only owns such methods is a stub, and NumPy's functions (under the names of
    NumPy 1 and 2, whichever wrote the file) are checked stand-ins: with NumPy's own, a hostile file
    corrupts memory.
    """
    unnamed = '\n'  # no pickle can name this: what is made here may get its state, no more
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_attribute, 'builtins.getattr'),
            (_ONE_CYCLE, _ONE_CYCLE.path),
            (Kind, 'numpy.dtype'),
            (Array, unnamed),
            (Stub('numpy.ndarray'), 'numpy.ndarray'),
            *((new_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((new_number, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )


def read_checkpoints_safely(module: ModuleType) -> None:
    """Let MMEngine read files and downloads with :mod:`mmclip.io.checkpoint`, as mmclip does.

    Symptom: ``UnpicklingError`` from ``load_from='weights.safetensors'``, or for a checkpoint of
    somebody who has registered a statistic of a ``HistoryBuffer``; gigabytes of memory for a small
    hostile file; ``load_from='https://...'`` executes what the file says.
    Cause: MMEngine 0.10.7 reads every file with ``torch.load``, downloads without ``weights_only``.
    Drop it when MMEngine knows safetensors and torch bounds what a file may unfold into.
    """

    def load_from_local(filename: str, map_location: Any = None) -> dict:
        from mmclip.io.checkpoint import read_training_checkpoint

        device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
        return read_training_checkpoint(os.path.expanduser(filename), device)

    def load_url(
        url: str,
        model_dir: str | None = None,
        map_location: Any = None,
        progress: bool = True,
        check_hash: bool = False,
        file_name: str | None = None,
    ) -> dict:
        folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
        path = folder / (file_name or Path(urlparse(url).path).name)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            digest = torch.hub.HASH_REGEX.search(path.name) if check_hash else None
            prefix = digest and digest.group(1)
            torch.hub.download_url_to_file(url, str(path), prefix, progress=progress)
        return load_from_local(str(path), map_location)

    module.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)
    module.load_from_local, module.load_url = load_from_local, load_url
