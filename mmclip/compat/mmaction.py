"""What mmaction2 1.2.0 lacks, and what it does not find in transformers 5."""

from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

_DRN = 'mmaction.models.localizers.drn'


def switch_vindlu_off(module: ModuleType) -> None:
    """Switch mmaction's optional VindLU off with transformers >= 5.

    Symptom: ``cannot import name 'apply_chunking_to_forward'`` on ``import mmaction.models``.
    Cause: transformers 5 moved it; mmaction2 1.2.0 asks only for transformers >= 4.28.
    Drop it with the first mmaction2 after 1.2.0 that imports under transformers 5.
    """
    try:
        transformers = version('transformers')
    except PackageNotFoundError:
        return
    if int(transformers.split('.')[0]) >= 5:
        module.WITH_MULTIMODAL = False


class MissingDRN(MetaPathFinder, Loader):
    """Supplies the sub-package that mmaction2's release lacks; asked only if nobody has it.

    Symptom: ``No module named 'mmaction.models.localizers.drn'`` on ``import mmaction.models``.
    Cause: the wheel of mmaction2 1.2.0 was built without that folder.
    Drop it with the first mmaction2 after 1.2.0.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in (_DRN, f'{_DRN}.drn'):
            return None
        return spec_from_loader(name, self, origin=__file__, is_package=name == _DRN)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _DRN:
            return
        from mmaction.registry import MODELS

        @MODELS.register_module()
        class DRN:
            """Says where the real one is."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(
                    'DRN is not in the release of mmaction2 1.2.0; install mmaction2 from its '
                    'repository to use it'
                )

        module.DRN = DRN
