"""Prepares PASCAL-5i from PASCAL VOC 2012 and the semantic boundaries dataset (SBD).

    python tools/dataset_converters/pascal5i.py --voc VOCdevkit/VOC2012 --sbd benchmark_RELEASE \\
        --lists lang-seg/fewshot_data/data/splits/pascal --out data/pascal5i

writes below ``--out``

    JPEGImages/              a link to VOC's
    SegmentationClassAug/    8-bit index masks: VOC's own; SBD's for images without one
    splits/{trn,val}/fold{0..3}.txt

The lists are the official ones, which HSNet and LSeg publish in their repositories. Without
``--lists`` they are made from the masks: VOC's segmentation val set for testing, the rest for
training, every class in every image that shows it. Figures with such lists are not comparable.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from mmclip import user_errors
from mmclip.datasets.fold_benchmarks import NUM_FOLDS, fold_classes
from mmclip.datasets.transforms.segmentation import read_mask
from mmclip.io.atomic import atomic_file, link_folder, write_text

VOID = 255
LISTS = tuple(f'{kind}/fold{fold}.txt' for kind in ('trn', 'val') for fold in range(NUM_FOLDS))


def sbd_mask(path: Path) -> np.ndarray:
    """(H, W) uint8 class indices of an SBD ``cls/*.mat`` file."""
    from scipy.io import loadmat

    content = loadmat(path, squeeze_me=True, struct_as_record=False)
    return np.asarray(content['GTcls'].Segmentation, np.uint8)


def save(mask: np.ndarray, path: Path) -> None:
    """A mask that is there is whole: the next run leaves SBD's alone."""
    with atomic_file(path) as partial:
        Image.fromarray(mask).save(partial, format='PNG')


def write_masks(voc: Path, sbd: Path | None, out: Path) -> None:
    """Masks of VOC, then of SBD for the images that have none."""
    out.mkdir(parents=True, exist_ok=True)
    for path in track(sorted((voc / 'SegmentationClass').glob('*.png')), 'VOC'):
        save(read_mask(str(path)).astype(np.uint8), out / path.name)
    if sbd is None:
        return
    for path in track(sorted((sbd / 'dataset' / 'cls').glob('*.mat')), 'SBD'):
        target = out / f'{path.stem}.png'
        if not target.exists():
            save(sbd_mask(path), target)


def questions(masks: Path, names: Iterable[str], classes: set[int]) -> Iterator[str]:
    """Lines ``name__class`` (from 1) for every one of the classes in every image."""
    for name in names:
        for value in np.unique(read_mask(str(masks / f'{name}.png'))).tolist():
            if value not in (0, VOID) and value - 1 in classes:
                yield f'{name}__{value:02d}'


def make_lists(voc: Path, masks: Path, out: Path) -> None:
    """Lists out of the masks."""
    val = (voc / 'ImageSets' / 'Segmentation' / 'val.txt').read_text().split()
    train = sorted({path.stem for path in masks.glob('*.png')} - set(val))
    for kind, names in (('trn', train), ('val', val)):
        (out / kind).mkdir(parents=True, exist_ok=True)
        for fold in range(NUM_FOLDS):
            classes = set(fold_classes('pascal5i', fold, 'test'))
            lines = list(questions(masks, names, classes))
            write_text(out / kind / f'fold{fold}.txt', '\n'.join(lines) + '\n')


def copy_lists(lists: Path, out: Path) -> None:
    """The published lists as they are."""
    for name in LISTS:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(out / name, (lists / name).read_text())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--voc', type=Path, required=True, help='folder VOC2012')
    parser.add_argument('--sbd', type=Path, help='folder benchmark_RELEASE')
    parser.add_argument(
        '--lists', type=Path, help='folder with trn/ and val/ of the official lists'
    )
    parser.add_argument('--out', type=Path, default=Path('data/pascal5i'))
    options = parser.parse_args(arguments)
    needed = [options.voc / 'JPEGImages', options.voc / 'SegmentationClass']
    needed += [options.sbd / 'dataset' / 'cls'] if options.sbd else []
    needed += [options.lists / name for name in LISTS] if options.lists else []
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        print(f'pascal5i: there is no {", ".join(missing)}', file=sys.stderr)
        return 1
    masks = options.out / 'SegmentationClassAug'
    link_folder(options.out / 'JPEGImages', options.voc / 'JPEGImages')
    write_masks(options.voc, options.sbd, masks)
    if options.lists:
        copy_lists(options.lists, options.out / 'splits')
    else:
        print('lists are made from the masks: figures are not comparable with published ones')
        make_lists(options.voc, masks, options.out / 'splits')
    print(f'{len(list(masks.glob("*.png")))} masks -> {options.out}')
    return 0


if __name__ == '__main__':
    user_errors.run(main)
