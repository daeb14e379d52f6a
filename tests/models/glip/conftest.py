"""Puts toy_glip, the model of these tests, on the path."""

import sys
from pathlib import Path

import mmclip.models  # noqa: F401

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
