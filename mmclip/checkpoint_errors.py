"""Say in a sentence why MMEngine cannot read a checkpoint."""

import functools
import re
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

_REFUSED = re.compile(r'GLOBAL (\S+)')


def explain_unreadable(filename: str, error: Exception) -> str:
    """What is wrong with a file that torch does not load, and the way out."""
    text = str(error)
    if isinstance(error, UnpicklingError) and 'eights only' in text:
        refused = _REFUSED.search(text)
        what = f' ({refused.group(1)})' if refused else ''
        return (
            f'the checkpoint {filename} is no file of weights, or holds Python objects beside them'
            f'{what}, which are not loaded because they can run code. To keep its tensors alone: '
            "mmclip.checkpoint's write_state_dict(read_state_dict(FILE), NEW_FILE)"
        )
    reason = text.strip().splitlines()[0][:200] if text.strip() else ''
    reason = f'{type(error).__name__}: {reason}'
    return f'the checkpoint {filename} is cut off, damaged or not a checkpoint ({reason})'


def name_unreadable_checkpoints(module: ModuleType) -> None:
    """Make MMEngine name the file when a checkpoint cannot be read.

    Symptom: ``Weights only load failed ... set weights_only=False``, ``PytorchStreamReader failed``
    or a bare ``EOFError`` for a damaged or foreign file, without its name; the advice is dangerous.
    Cause: MMEngine 0.10.7 passes on what ``torch.load`` says.
    Drop it when MMEngine names the file.
    """
    loader = module.CheckpointLoader
    load = loader.load_checkpoint.__func__
    if hasattr(load, '__wrapped__'):
        return

    @functools.wraps(load)
    def load_checkpoint(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(cls, filename, *args, **kwargs)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # MMEngine's loaders and ours have said it well.
            said = isinstance(error, ValueError) and str(filename) in str(error)
            raise ValueError(str(error) if said else explain_unreadable(filename, error)) from error

    loader.load_checkpoint = classmethod(load_checkpoint)
