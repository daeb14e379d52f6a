"""Where configs and tools lie: in the wheel (``.mim``) or in the checkout."""

import difflib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    for root in (_PACKAGE / '.mim' / name, _PACKAGE.parent / name):
        if root.is_dir():
            return root
    raise FileNotFoundError(
        f'mmclip is installed without its {name}: neither {_PACKAGE / ".mim"} nor a checkout '
        'beside it has them; reinstall with `pip install .` or `pip install -e .`'
    )


def configs_root() -> Path:
    """Folder that holds the configs of the installed wheel or of the checkout."""
    return _shipped('configs')


def tools_root() -> Path:
    """Folder that holds the tools of the installed wheel or of the checkout."""
    return _shipped('tools')


def config_path(name: str) -> str:
    """Absolute path of one of mmclip's configs.

    Works under tools that never import mmclip: a downstream config writes
    ``_base_ = __import__('mmclip').config_path('vild/vild_r50_lvis.py')``.

    Args:
        name: Path relative to the config folder, e.g. ``'vild/vild_r50_lvis.py'``.

    Raises:
        FileNotFoundError: no such config; the message lists near names.
    """
    root = configs_root()
    path = root / name
    if path.is_file():
        return str(path)
    known = sorted(p.relative_to(root).as_posix() for p in root.rglob('*.py'))
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    raise FileNotFoundError(
        f"no config '{name}' in {root}" + (f'; did you mean {", ".join(near)}?' if near else '')
    )
