"""Where encoded vocabularies are kept between runs. Nothing in it is precious, nothing must be.

An entry that is damaged counts as none, and a cache that cannot be written is one warning: whoever
asks has the embeddings anyway.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.logging import print_log
from safetensors import SafetensorError

_UNFINISHED = 3600  # seconds after which a partial file has no writer any more
_WARNED: set[str | None] = set()
T = TypeVar('T')


def cache_folder() -> Path:
    """The folder: ``$MMCLIP_CACHE/vocabularies``, by default below ``~/.cache/mmclip``.

    Raises:
        RuntimeError: the user has no home folder.
    """
    root = os.environ.get('MMCLIP_CACHE') or Path.home() / '.cache' / 'mmclip'
    return Path(root) / 'vocabularies'


def _path(key: str) -> Path:
    return cache_folder() / f'{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors'


def read_entry(key: str, load: Callable[[Path], T]) -> T | None:
    """What the cache holds for a key.

    Args:
        key: Everything that the content depends on.
        load: Reads the file; raises a ValueError for one that is damaged.
    """
    try:
        return load(_path(key))
    except (ValueError, OSError, RuntimeError):
        return None


def write_entry(key: str, save: Callable[[Path], None]) -> None:
    """Keep something; where that cannot be done there is one warning.

    Args:
        key: As :func:`read_entry`.
        save: Writes the file, whole or not at all.
    """
    try:
        save(_path(key))
        for path in cache_folder().glob('.*.partial*'):  # of killed writers
            if time.time() - path.lstat().st_mtime > _UNFINISHED:
                path.unlink(missing_ok=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        place = os.environ.get('MMCLIP_CACHE')
        if place not in _WARNED:
            _WARNED.add(place)
            print_log(
                f'encoded vocabularies cannot be kept ({error}), so every run encodes them again; '
                'MMCLIP_CACHE names another folder',
                'current',
                level=30,
            )
