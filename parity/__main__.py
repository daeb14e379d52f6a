"""``python -m parity METHOD``: see :mod:`parity.runner`."""

import sys

from parity.runner import main

sys.exit(main())
