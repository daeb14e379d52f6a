"""Gives the weights of a checkpoint in its official format our names.

    python tools/convert_checkpoint.py METHOD SRC DST [--prefix PREFIX]

METHOD is a folder of mmclip/models whose ``convert.py`` holds ``convert(state_dict)``. SRC is a
checkpoint file (anything that torch wrote, a TorchScript archive, safetensors; read without running
what it holds) or, where the method's converter has a reader of its own, a TensorFlow checkpoint.
DST ends in ``.safetensors`` or ``.pth`` and is written whole or not at all. Keys that the converter
does not know are an error that lists them.

    python tools/convert_checkpoint.py clip_zero_shot ViT-B-32.pt vit_b32.safetensors
    python tools/convert_checkpoint.py clip_zero_shot ViT-B-32.pt tower.pth \\
        --prefix visual.=backbone.visual.
"""

import argparse
import importlib
from pathlib import Path
from types import ModuleType

import torch

import mmclip
from mmclip import user_errors
from mmclip.io.checkpoint import read_state_dict, write_state_dict

_MODELS = Path(mmclip.__file__).parent / 'models'


def methods() -> list[str]:
    """Methods that have a converter."""
    return sorted(path.parent.name for path in _MODELS.glob('*/convert.py'))


def find_converter(method: str) -> ModuleType:
    """The module ``convert`` of a method.

    Raises:
        ValueError: no such method, or none of its own.
    """
    if method not in methods():
        raise ValueError(f'METHOD: {method!r} has no converter; there are {", ".join(methods())}')
    return importlib.import_module(f'mmclip.models.{method}.convert')


def rename(state: dict[str, torch.Tensor], prefix: str | None) -> dict[str, torch.Tensor]:
    """Only the keys below ``old`` of ``old=new``, put below ``new``.

    Raises:
        ValueError: no ``=``, or no key below ``old``.
    """
    if prefix is None:
        return state
    old, equal, new = prefix.partition('=')
    if not equal:
        raise ValueError(f'--prefix: expected OLD=NEW (visual.=backbone.visual.), got {prefix!r}')
    chosen = {new + k.removeprefix(old): v for k, v in state.items() if k.startswith(old)}
    if not chosen:
        raise ValueError(f'--prefix: no key starts with {old!r}, e.g. {next(iter(state))!r}')
    return chosen


def convert_file(
    method: str, source: str, destination: str, prefix: str | None = None
) -> dict[str, torch.Tensor]:
    """Convert one checkpoint and write it; returns what was written.

    Raises:
        FileNotFoundError: no source.
        ValueError: a damaged source, an unknown ending, a key that the converter does not know.
    """
    if Path(destination).suffix not in ('.safetensors', '.pth', '.pt'):
        raise ValueError(f'DST: {destination} must end in .safetensors, .pth or .pt')
    module = find_converter(method)
    read = getattr(module, 'read', read_state_dict)
    state = rename(module.convert(read(source)), prefix)
    if not state:
        raise ValueError(f'SRC: nothing of {source} is left after the conversion')
    write_state_dict(state, destination)
    return state


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', help=', '.join(methods()))
    parser.add_argument('src')
    parser.add_argument('dst')
    parser.add_argument('--prefix', help='OLD=NEW: keep keys below OLD, put them below NEW')
    options = parser.parse_args(arguments)
    state = convert_file(options.method, options.src, options.dst, options.prefix)
    numbers = sum(value.numel() for value in state.values())
    print(f'{len(state)} tensors, {numbers / 1e6:.1f} M numbers -> {options.dst}')
    return 0


if __name__ == '__main__':
    user_errors.run(main)
