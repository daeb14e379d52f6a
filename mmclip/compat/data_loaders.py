"""Data loaders without worker processes."""

import functools
from types import ModuleType
from typing import Any

# What torch's DataLoader takes with worker processes only.
_OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')


def drop_options_of_workers(module: ModuleType, name: str) -> None:
    """Make ``num_workers=0`` alone enough to load data without worker processes.

    Symptom: ``persistent_workers option needs num_workers > 0`` where a config sets both and only
    the number is changed, as one does to debug or to save memory.
    Cause: torch refuses options of workers that are not there.
    Drop it when torch or MMEngine leaves them out.

    Args:
        module: The runner's module.
        name: Its class there.
    """
    runner = getattr(module, name)
    build = runner.build_dataloader
    if hasattr(build, '__wrapped__'):
        return

    @functools.wraps(build)
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            dataloader = {k: v for k, v in dataloader.items() if k not in _OF_WORKERS}
        return build(dataloader, *args, **kwargs)

    runner.build_dataloader = staticmethod(build_dataloader)
