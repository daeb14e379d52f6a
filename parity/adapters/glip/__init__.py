"""GLIP: everything, from tokens to checkpoints."""

from parity.adapters.glip.data import ADAPTERS as DATA
from parity.adapters.glip.detector import ADAPTERS as DETECTOR
from parity.adapters.glip.head import ADAPTERS as HEAD
from parity.adapters.glip.parts import ADAPTERS as PARTS
from parity.adapters.glip.training import ADAPTERS as TRAINING

ADAPTERS = DATA | PARTS | HEAD | DETECTOR | TRAINING
