"""Load weights so that a checkpoint of another model is an error, not a line in a log."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmclip.io.checkpoint import read_state_dict

_MOST = 6  # modules and tensors that a message names of each kind
_SHAPES = re.compile(r'size mismatch for (\S+):.*torch\.Size\((.*?)\).*torch\.Size\((.*?)\)')
_FSDP = '_fsdp_wrapped_module.'


class Mismatch(NamedTuple):
    """Where a model and a state dict differ.

    Args:
        missing: Names of weights that only the model has.
        unexpected: Names that only the state dict has.
        unfit: (name, what is wrong) of weights that both have, of other shapes for example.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()

    def without(self, modules: Sequence[str]) -> 'Mismatch':
        """What remains when some modules (``'bbox_head.mask_head'``) may differ."""

        def kept(name: str) -> bool:
            return not any(name == module or name.startswith(f'{module}.') for module in modules)

        return Mismatch(
            tuple(filter(kept, self.missing)),
            tuple(filter(kept, self.unexpected)),
            tuple(pair for pair in self.unfit if kept(pair[0])),
        )

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f'it lacks {_counted(self.missing)} of the model')
        if self.unexpected:
            parts.append(f'it has {_counted(self.unexpected)} that the model has not')
        if self.unfit:
            shown = ', '.join(f'{name} {wrong}' for name, wrong in self.unfit[:_MOST])
            more = len(self.unfit) - _MOST
            rest = f' and {more} more' if more > 0 else ''
            parts.append(f'{_weights(len(self.unfit))} do not fit: {shown}{rest}')
        return '; '.join(parts)


def _weights(count: int) -> str:
    return f'{count} weight' + 's' * (count != 1)


def _counted(names: Sequence[str]) -> str:
    """'31 weights (backbone.layer1: 20, bbox_head: 11)'."""
    modules = Counter('.'.join(name[:200].split('.')[:-1][:2]) or name[:200] for name in names)
    shown = [f'{module}: {count}' for module, count in modules.most_common(_MOST)]
    more = len(modules) - _MOST
    if more > 0:
        shown.append(f'{more} more modules')
    return f'{_weights(len(names))} ({", ".join(shown)})'


def _made_by_model(model: nn.Module) -> set[str]:
    """Names of buffers that a checkpoint may lack.

    Buffers of integers are tables and counters that modules make for themselves, and a module lists
    in ``optional_buffers`` what it fills otherwise, such as embeddings of words.
    """
    names = {name for name, buffer in model.named_buffers() if not buffer.is_floating_point()}
    for prefix, module in model.named_modules():
        for name in getattr(module, 'optional_buffers', ()):
            names.add(f'{prefix}.{name}' if prefix else name)
    return names


def _for_training(model: nn.Module) -> list[str]:
    """Modules that only a loss needs, as the modules above them list in ``training_modules``."""
    return [
        (f'{prefix}.{name}' if prefix else name).replace(_FSDP, '')
        for prefix, module in model.named_modules()
        for name in getattr(module, 'training_modules', ())
    ]


def load_state(model: nn.Module, state: Mapping[str, Any], *, resume: bool = False) -> Mismatch:
    """Load what fits of a state dict and return what does not.

    Args:
        model: May be wrapped (DDP, FSDP, test-time augmentation).
        state: A prefix ``module.`` of its names is ignored.
        resume: Whether modules that are used in training only must be there, and no others.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        if isinstance(model, FullyShardedDataParallel):  # it distributes what it loads
            break
        model = model.module
    state = {str(name).removeprefix('module.'): value for name, value in state.items()}
    found: list[Any] = []
    handle = model.register_load_state_dict_post_hook(lambda _, keys: found.append(keys))
    errors: list[str] = []
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # raised after all that fits has been loaded
        if not found:
            raise
        errors = str(error).split('\n\t')[1:]
    finally:
        handle.remove()
    names = [[n.replace(_FSDP, '') for n in part] for part in found[0]]
    own = {name.replace(_FSDP, '') for name in _made_by_model(model)}
    unfit = []
    for error in errors:
        shapes = _SHAPES.match(error)
        if shapes:
            name, stored, wanted = shapes.groups()
            unfit.append((name, f'{stored} in the file, {wanted} in the model'))
        else:
            unfit.append((error[:200], ''))
    found_all = Mismatch(tuple(n for n in names[0] if n not in own), tuple(names[1]), tuple(unfit))
    return found_all if resume else found_all.without(_for_training(model))


def load_weights(
    model: nn.Module, checkpoint: str | os.PathLike, *, allow_mismatch: bool = False
) -> None:
    """Load a checkpoint file without running its pickle.

    Args:
        model: Gets the weights.
        checkpoint: Any file that :func:`mmclip.io.checkpoint.read_state_dict` reads.
        allow_mismatch: Whether to go on with weights that are missing, left over or of other
            shapes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or is not a checkpoint of this model.
    """
    mismatch = load_state(model, read_state_dict(checkpoint))
    if any(mismatch) and not allow_mismatch:
        raise ValueError(
            f'{checkpoint} does not fit the model: {mismatch}. Is it of another config? '
            'If this is meant, give --allow-mismatch (allow_mismatch=True)'
        )
