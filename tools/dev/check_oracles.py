"""The same as ``python -m parity METHOD``, from any folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from parity.runner import main

sys.exit(main())
