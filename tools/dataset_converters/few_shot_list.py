"""Draws K clips of every class out of a training list, by a seed.

    python tools/dataset_converters/few_shot_list.py LIST --shots 8 [--seed 0] [--out OUT]

LIST has a line 'path label' (or 'folder frames label') per clip. OUT is by default beside it, as
LIST_8_shot_seed0.txt. The same seed gives the same clips; those of 4 shots are among those of 8.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from mmclip import user_errors
from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import is_digits
from mmclip.io.records import read_lines


def draw(lines: list[str], shots: int, seed: int) -> list[str]:
    """K lines of every class, in the order of the list.

    Raises:
        ValueError: no line, a line without a label, a class with fewer than K clips.
    """
    if shots < 1:
        raise ValueError(f'--shots: {shots}; allowed are 1 and more')
    of_class = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        label = line.rsplit(' ', 1)[-1]
        if not is_digits(label):
            raise ValueError(f"LIST: line {number}: expected 'path label', got {line!r}")
        of_class[int(label)].append(number - 1)
    if not of_class:
        raise ValueError('LIST: it is empty')
    scarce = {label: len(rows) for label, rows in of_class.items() if len(rows) < shots}
    if scarce:
        label, count = min(scarce.items())
        raise ValueError(f'--shots: {shots}, but class {label} has {count} clips')
    chosen = []
    for label, rows in of_class.items():
        order = np.random.default_rng([seed, label]).permutation(len(rows))
        chosen += [rows[i] for i in order[:shots]]
    return [lines[i] for i in sorted(chosen)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('list', type=Path)
    parser.add_argument('--shots', type=int, required=True)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path)
    options = parser.parse_args(arguments)
    suffix = f'_{options.shots}_shot_seed{options.seed}'
    out = options.out or options.list.with_name(f'{options.list.stem}{suffix}.txt')
    lines = [line for _, line in read_lines(options.list)]
    chosen = draw(lines, options.shots, options.seed)
    with atomic_file(out) as partial:
        partial.write_text('\n'.join(chosen) + '\n')
    print(f'{len(chosen)} of {len(lines)} clips -> {out}')
    return 0


if __name__ == '__main__':
    user_errors.run(main)
