"""Reading and writing configs."""

import functools
from pathlib import Path

from mmengine.config import Config

from mmclip.io.atomic import atomic_file


def read_own_configs_without_scope() -> None:
    """Make ``_base_ = 'mmclip::...'`` give the very config that the path gives.

    Symptom: ``BboxOverlaps2D is not in the mmclip registry`` while a config inherited by the prefix
    builds, and an unscoped ``Resize`` of one's own leaf that silently becomes MMCV's.
    Cause: MMEngine writes ``_scope_='mmclip'`` into the outer dicts of such a config, and no
    registry of a host lies below mmclip's. Every ``type`` of our configs carries its scope, so the
    stamp has no use. Other packages' prefixes keep theirs.
    Drop it when MMEngine lets a package say that its configs need no scope.
    """
    find = Config._get_cfg_path
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def find_without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == 'mmclip' else scope

    Config._get_cfg_path = staticmethod(find_without_scope)


def write_configs_atomically() -> None:
    """Make ``Config.dump`` atomic.

    Symptom: an empty config in the work dir after a full disk or a SIGTERM while a run starts.
    Cause: ``Config.dump`` opens the file and then formats the text for seconds.
    Drop it when MMEngine writes to a temporary name.
    """
    if hasattr(Config.dump, '__wrapped__'):
        return
    plain = Config.dump

    @functools.wraps(plain)
    def dump(self: Config, file: str | Path | None = None) -> str | None:
        if file is None:
            return plain(self)
        with atomic_file(file, keep_suffix=True) as partial:
            plain(self, partial)

    Config.dump = dump
