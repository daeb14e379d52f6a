"""Which samples of a dataset: K shots per class, and an honest validation split."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Subset:
    """The part of a dataset that is used, the same in every process and run.

    Training samples are all, or K drawn per class. Validation samples are a share of each class's
    training samples, drawn among those that are not trained on: PointCLIP's official code selects
    models and searches view weights on the test set; this split leaves it alone. Give the training
    and the validation set the same numbers.

    Source: the shots are those of Dassl's ``generate_fewshot_dataset``, classes in the order in
    which they come first: ``random.sample`` per class, with replacement where a class is short.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'`` (all of the test files).
        num_shots: K; all if None.
        shots_seed: Of the draw.
        val_ratio: Share of a class's training samples that validates, 0 to 1; without shots these
            are taken out of training.

    Raises:
        ValueError: another split, a number out of range, validation samples without ``val_ratio``.
    """

    split: str
    num_shots: int | None = None
    shots_seed: int = 2
    val_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f'split: {self.split!r}; allowed are {", ".join(SPLITS)}')
        if self.num_shots is not None and self.num_shots < 1:
            raise ValueError(
                f'num_shots: {self.num_shots}; allowed are 1 and more, or None for all'
            )
        if not 0 <= self.val_ratio < 1:
            raise ValueError(f'val_ratio: {self.val_ratio}; allowed are 0 to below 1')
        if self.split == 'val' and not self.val_ratio:
            raise ValueError(
                "val_ratio: 0 leaves no sample for split='val'; give training and validation the "
                'same share, e.g. 0.1'
            )

    @property
    def source(self) -> str:
        """The files that the samples come from: ``'train'`` or ``'test'``."""
        return 'test' if self.split == 'test' else 'train'

    def choose(self, labels: Sequence[int]) -> list[int]:
        """Indices of the samples, out of one label per sample of :attr:`source`.

        Raises:
            ValueError: no sample is left.
        """
        if self.split == 'test':
            return list(range(len(labels)))
        members = defaultdict(list)
        for index, label in enumerate(labels):
            members[label].append(index)
        shots = []
        if self.num_shots is not None:
            rng = random.Random(self.shots_seed)
            for indices in members.values():
                enough = len(indices) >= self.num_shots
                draw = rng.sample if enough else rng.choices
                shots += draw(indices, k=self.num_shots)
        trained, held_out = set(shots), set()
        rng = random.Random(f'validation {self.shots_seed}')
        for indices in members.values():
            free = [index for index in indices if index not in trained]
            number = min(len(free), round(self.val_ratio * len(indices)))
            held_out |= set(rng.sample(free, number))
        if self.split == 'val':
            chosen = sorted(held_out)
        elif self.num_shots is not None:
            chosen = shots
        else:
            chosen = [index for index in range(len(labels)) if index not in held_out]
        if not chosen:
            raise ValueError(
                f'split={self.split!r}: of {len(labels)} training samples none is left with '
                f'num_shots={self.num_shots} and val_ratio={self.val_ratio}'
            )
        return chosen
