"""Makes COCO-Object's masks (80 things and a background) out of COCO-Stuff's.

    python tools/dataset_converters/coco_object.py data/coco/annotations/stuffthingmaps/val2017 \
        data/coco/annotations/coco_object/val2017

SRC holds ``stuffthingmaps_trainval2017``'s PNG files (a pixel is a category's id less one, 255 is
unlabeled). In DST things are 1 to 80 in the order of COCO's ids, and everything else, the
unlabeled too, is 0, the background: nothing is ignored. Files that are there already are skipped.
"""

import argparse
from pathlib import Path

import numpy as np

from mmclip import user_errors
from mmclip.datasets.transforms.segmentation import read_mask
from mmclip.io.atomic import write_image

# COCO's ids run to 90, ten of them are not used.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
LAST_THING = 90


def lookup_table() -> np.ndarray:
    """(256,) int: COCO-Stuff's value -> COCO-Object's; -1 for values that no category has."""
    table = np.zeros(256, int)
    things = [i for i in range(1, LAST_THING + 1) if i not in UNUSED]
    table[:LAST_THING] = -1
    for number, category in enumerate(things, 1):
        table[category - 1] = number
    return table


def convert(mask: np.ndarray) -> np.ndarray:
    """COCO-Stuff's (H, W) mask -> COCO-Object's, uint8.

    Raises:
        ValueError: values that COCO-Stuff does not have.
    """
    if mask.max(initial=0) > 255:
        raise ValueError(f'it holds {mask.max()}; COCO-Stuff has 8 bits')
    converted = lookup_table()[mask]
    if (converted < 0).any():
        values = np.unique(mask[converted < 0])[:5].tolist()
        raise ValueError(f'it holds the values {values}, which COCO-Stuff does not have')
    return converted.astype(np.uint8)


def run(source: Path, destination: Path) -> tuple[int, int]:
    """Convert a folder; how many masks were made, and how many were there.

    Raises:
        FileNotFoundError: no PNG file in the source.
        ValueError: as :func:`convert`.
    """
    paths = sorted(source.glob('*.png'))
    if not paths:
        raise FileNotFoundError(
            f'SRC: no *.png in {source}; unpack stuffthingmaps_trainval2017.zip of COCO-Stuff'
        )
    destination.mkdir(parents=True, exist_ok=True)
    made = 0
    for path in paths:
        target = destination / path.name
        if target.is_file():
            continue
        try:
            mask = convert(read_mask(str(path)))
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        write_image(target, mask)
        made += 1
    return made, len(paths) - made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path)
    parser.add_argument('dst', type=Path)
    options = parser.parse_args(arguments)
    made, there = run(options.src, options.dst)
    print(f'{made} masks made, {there} were there -> {options.dst}')
    return 0


if __name__ == '__main__':
    user_errors.run(main)
