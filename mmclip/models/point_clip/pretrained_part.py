"""Weights of one part of a model from a checkpoint file, all of them or an error."""

from pathlib import Path

from torch import nn

from mmclip.io.checkpoint import read_state_dict


def load_part(module: nn.Module, path: str | Path, *, prefix: str = '', name: str) -> None:
    """Load a module strictly.

    Args:
        module: What is filled.
        path: Any checkpoint file (:mod:`mmclip.io.checkpoint`).
        prefix: Of the keys that belong to the module; others are left out.
        name: The argument's name, for the message.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.checkpoint.read_state_dict`; also if
            keys are missing, left over or of another shape, which are listed.
    """
    state = read_state_dict(path)
    state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    left = sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if missing or left or shapes:
        raise ValueError(
            f'{name}: {path} does not fit: missing {missing[:4]}, left over {left[:4]}, other '
            f'shapes {shapes[:4]} ({len(missing)}, {len(left)} and {len(shapes)} in all)'
            + (f'; keys start with {prefix!r}, as `mmclip convert` writes them' if prefix else '')
        )
    module.load_state_dict(state)
