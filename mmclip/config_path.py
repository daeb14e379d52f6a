"""Where the configs lie: in the wheel (``.mim/configs``) or in the checkout (``configs``)."""

import difflib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def configs_root() -> Path:
    """Folder that holds the configs of the installed wheel or of the checkout."""
    for root in (_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs'):
        if root.is_dir():
            return root
    raise FileNotFoundError(
        f'mmclip is installed without its configs: neither {_PACKAGE / ".mim"} nor a checkout '
        'beside it has them; reinstall with `pip install .` or `pip install -e .`'
    )


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
