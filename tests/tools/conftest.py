"""The toy runs of tests/engine serve here too."""

import os
import sys
from pathlib import Path

HERE = str(Path(__file__).parent.parent / 'engine')
if HERE not in sys.path:
    sys.path.insert(0, HERE)
    paths = [HERE, os.environ.get('PYTHONPATH')]
    os.environ['PYTHONPATH'] = os.pathsep.join(path for path in paths if path)
