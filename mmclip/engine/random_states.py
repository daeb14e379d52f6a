"""The global random states of a process: taken, set, and lent to one sample.

Python's, NumPy's and torch's states are kept as tensors, so that a checkpoint with them loads with
``weights_only``. Each rank has its own accelerator's state beside them.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

States = dict[str, torch.Tensor]


def capture(*, accelerator: bool = True) -> States:
    """The states of Python's, NumPy's and torch's global generators.

    Args:
        accelerator: Also the state of the current CUDA device, if there is one.
    """
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    assert (version, kind) == (3, 'MT19937')
    states = {
        'python': torch.tensor(internal, dtype=torch.int64),
        'python_gauss': torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
        'numpy': torch.from_numpy(keys.astype(np.int64)),
        'numpy_position': torch.tensor([position, has_gauss]),
        'numpy_gauss': torch.tensor(cached, dtype=torch.float64),
        'torch': torch.get_rng_state(),
    }
    if accelerator and torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore(states: States) -> None:
    """Set what :func:`capture` took."""
    gauss = float(states['python_gauss'])
    random.setstate((3, tuple(states['python'].tolist()), None if math.isnan(gauss) else gauss))
    position, has_gauss = states['numpy_position'].tolist()
    keys = states['numpy'].cpu().numpy().astype(np.uint32)
    np.random.set_state(('MT19937', keys, position, has_gauss, float(states['numpy_gauss'])))
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


@contextmanager
def seeded(*place: int) -> Iterator[None]:
    """Inside, the CPU generators start from a seed made of ``place``; outside, nothing changes.

    Args:
        place: Non-negative numbers, e.g. the run's seed, rank, epoch and the sample's number.
    """
    kept = capture(accelerator=False)
    words = np.random.SeedSequence(place).generate_state(3, np.uint64)
    try:
        random.seed(int(words[0]))
        np.random.seed(words[1:2].view(np.uint32))
        # `torch.manual_seed` would reach the accelerator's generators too.
        torch.default_generator.manual_seed(int(words[2] >> 1))
        yield
    finally:
        restore(kept)
