"""Which classes of a detection dataset go into a caption."""

from collections.abc import Sequence

import numpy as np


def fitting_positives(
    present: Sequence[int], costs: Sequence[int], room: int, rng: np.random.RandomState
) -> tuple[list[int], int]:
    """Classes that are there, in random order, up to the first one that does not fit.

    Source: official ``check_for_positive_overflow``.

    Args:
        present: Classes of the image's boxes, each once.
        costs: Tokens of each class with its separator.
        room: Tokens of a caption.
        rng: Draws the order.

    Returns:
        The classes, and the tokens counted: with those of the first class that did not fit, so that
        a full caption gets no negatives.
    """
    order = [int(i) for i in rng.permutation(np.array(present, dtype=np.int64))]
    total = np.cumsum([costs[i] for i in order], dtype=np.int64)
    fits = int((total <= room).sum())
    return order[:fits], int(total[min(fits, len(order) - 1)]) if order else 0


def draw_negatives(
    present: Sequence[int],
    allowed: np.ndarray,
    costs: Sequence[int],
    room: int,
    rng: np.random.RandomState,
    *,
    limit: int,
    full_prob: float,
) -> list[int]:
    """A sample of classes that are not there, as many as fit.

    Source: official ``convert_object_detection_to_grounding_optimized_for_od`` with the control
    probabilities (0, 0, full_prob, 0). It demands that a token be left over.

    Args:
        present: Classes of the image's boxes.
        allowed: Classes that may be drawn; those that are there drop out afterwards.
        costs: Tokens of each class with its separator.
        room: Tokens that are left.
        rng: Draws.
        limit: Most classes that are drawn.
        full_prob: Probability that ``limit`` are drawn; else a uniform number from 1 to that.
    """
    limit = min(limit, len(allowed))
    if limit <= 0:
        return []
    count = limit if rng.random() < full_prob else int(rng.randint(limit)) + 1
    drawn = rng.choice(allowed, count, replace=False)
    absent = np.setdiff1d(drawn, np.array(present, dtype=np.int64))
    order = [int(i) for i in rng.permutation(absent)]
    total = np.cumsum([costs[i] for i in order], dtype=np.int64)
    return order[: int((total < room).sum())]
