"""mmclip: open-vocabulary perception for MMDetection, MMSegmentation and MMAction2.

Importing the package registers the ``mmclip::`` config prefix and applies the remedies of
:mod:`mmclip.compat`; it imports no model code.
"""

from mmengine.config.utils import MODULE2PACKAGE

from mmclip import compat
from mmclip.config_path import config_path
from mmclip.version import __version__

# A value that is not the name of a distribution makes MMEngine look the package up with
# `find_spec`, which is right for wheels and for editable installs alike.
MODULE2PACKAGE['mmclip'] = 'mmclip.registry'

compat.apply()

__all__ = ['__version__', 'config_path']
