"""Read a config by file or by name; what is wrong in it is one sentence with file and line."""

import traceback
from pathlib import Path

from mmengine.config import Config

from mmclip.config_path import config_path


def find_config(name: str | Path) -> Path:
    """A config file, or the one of mmclip's that has the name (``vild/vild_r50_lvis.py``).

    Raises:
        FileNotFoundError: neither; the message lists near names.
    """
    path = Path(name)
    if path.is_file():
        return path
    try:
        return Path(config_path(str(name).removeprefix('configs/')))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no file {name}, and among mmclip's configs {error}") from None


def read_config(name: str | Path) -> Config:
    """The config of a file or name.

    Raises:
        FileNotFoundError: there is none, or one that it builds on is missing.
        ValueError: it cannot be read; file and line are named.
    """
    path = find_config(name)
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is a program
        raise ValueError(_problem(path, error)) from error


def _problem(path: Path, error: Exception) -> str:
    """'file, line 3: NameError: …'."""
    place, reader = str(path), False
    for frame, line in traceback.walk_tb(error.__traceback__):
        if reader and frame.f_code.co_name == '<module>':  # a config, which MMEngine runs
            place = f'{frame.f_code.co_filename}, line {line}'
        reader = frame.f_globals.get('__name__') == 'mmengine.config.config'
        if reader and frame.f_code.co_name == '_file2dict':  # of the config or of a base
            base = str(frame.f_locals.get('filename'))
            place = base if Path(base).is_file() else place
    text = ' '.join(str(error).split())
    if isinstance(error, SyntaxError) and error.lineno is not None:
        place, text = f'{place}, line {error.lineno}', error.msg
    return f'{place}: {type(error).__name__}: {text[:500]}'
