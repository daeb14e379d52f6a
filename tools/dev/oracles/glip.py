"""GLIP: everything, from tokens to checkpoints."""

from oracles._glip_data import ADAPTERS as DATA
from oracles._glip_detector import ADAPTERS as DETECTOR
from oracles._glip_head import ADAPTERS as HEAD
from oracles._glip_parts import ADAPTERS as PARTS
from oracles._glip_training import ADAPTERS as TRAINING

ADAPTERS = DATA | PARTS | HEAD | DETECTOR | TRAINING
