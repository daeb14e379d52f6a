"""mmclip: open-vocabulary perception for MMDetection, MMSegmentation and MMAction2.

Importing the package registers the ``mmclip::`` config prefix and applies the remedies of
:mod:`mmclip.compat`; it imports no model code.
"""

from importlib.util import find_spec as _find_spec

# Looked for without importing them. Which build of torch and of MMCV fits is the machine's
# business, so that pip does not bring them by itself.
_missing = [name for name in ('torch', 'mmengine', 'mmcv') if _find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f'mmclip needs {", ".join(_missing)}: install torch, then `pip install mmengine '
        'mmcv==2.1.0` (mmdet for detectors, mmsegmentation for masks, mmaction2 for videos); '
        "docs/en/get_started.md, section 'As a dependency', gives the commands",
        name=_missing[0],
    )

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

from mmclip import compat  # noqa: E402
from mmclip.config_path import config_path  # noqa: E402
from mmclip.version import __version__  # noqa: E402

# A value that is not the name of a distribution makes MMEngine look the package up with
# `find_spec`, which is right for wheels and for editable installs alike.
MODULE2PACKAGE['mmclip'] = 'mmclip.registry'

compat.apply()

__all__ = ['__version__', 'config_path']
