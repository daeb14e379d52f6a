"""Prepares COCO-20i from COCO 2014.

    python tools/dataset_converters/coco20i.py --coco data/coco2014 \\
        --lists lang-seg/fewshot_data/data/splits/coco --out data/coco20i

reads ``annotations/instances_{train,val}2014.json`` and the images, and writes below ``--out``

    train2014/, val2014/                     links to the images
    annotations/{train,val}2014/*.png        8-bit masks: 0 background, i the i-th category
    splits/{trn,val}/fold{0..3}.json         class (from 0) -> names of images

Instances are painted from large to small, so that small ones stay visible; crowds are not painted.
The lists are the official ones, which HSNet and LSeg publish in their repositories as pickles (read
without running what they hold). Without ``--lists`` they are made from the masks; figures with such
lists are not comparable. ``--masks`` takes ready masks (HSNet's) instead of painting.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from faster_coco_eval import COCO
from PIL import Image
from rich.progress import track

from mmclip import user_errors
from mmclip.datasets.fold_benchmarks import NUM_FOLDS, fold_classes
from mmclip.datasets.transforms.segmentation import read_mask
from mmclip.io.atomic import atomic_file, link_folder, write_text
from mmclip.io.checkpoint import read_checkpoint

PARTS = {'trn': 'train2014', 'val': 'val2014'}


def paint(coco: COCO, image: dict, index_of: dict[int, int]) -> np.ndarray:
    """(H, W) uint8: 0 background, i the i-th category."""
    mask = np.zeros((image['height'], image['width']), np.uint8)
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=image['id'], iscrowd=0))
    for annotation in sorted(annotations, key=lambda a: -a['area']):
        mask[coco.annToMask(annotation) > 0] = index_of[annotation['category_id']]
    return mask


def write_masks(annotation_file: Path, out: Path) -> None:
    """Masks of all images that an annotation file lists.

    Raises:
        ValueError: ``out`` is a link, to masks of somebody else's.
    """
    if out.is_symlink():
        raise ValueError(
            f'{out} is a link to {out.resolve()} (--masks), whose masks would be painted over; '
            'give --masks again or remove the link'
        )
    coco = COCO(str(annotation_file))
    index_of = {category: i for i, category in enumerate(sorted(coco.getCatIds()), 1)}
    out.mkdir(parents=True, exist_ok=True)
    for image in track(coco.loadImgs(coco.getImgIds()), out.name):
        name = Path(image['file_name']).with_suffix('.png').name
        with atomic_file(out / name) as partial:
            Image.fromarray(paint(coco, image, index_of)).save(partial, format='PNG')


def official_lists(folder: Path, out: Path) -> None:
    """The published pickles as json."""
    for kind in PARTS:
        (out / kind).mkdir(parents=True, exist_ok=True)
        for fold in range(NUM_FOLDS):
            table = read_checkpoint(folder / kind / f'fold{fold}.pkl')
            rows = {int(key): list(map(str, names)) for key, names in table.items() if len(names)}
            write_text(out / kind / f'fold{fold}.json', json.dumps(rows))


def lists_of_masks(root: Path, out: Path) -> None:
    """Every class in every image that shows it."""
    for kind, part in PARTS.items():
        shown = defaultdict(list)
        for path in track(sorted((root / 'annotations' / part).glob('*.png')), f'lists {part}'):
            for value in np.unique(read_mask(str(path))).tolist():
                if value:
                    shown[value - 1].append(f'{part}/{path.stem}.jpg')
        (out / kind).mkdir(parents=True, exist_ok=True)
        for fold in range(NUM_FOLDS):
            classes = fold_classes('coco20i', fold, 'train' if kind == 'trn' else 'test')
            rows = {class_id: shown[class_id] for class_id in classes if shown[class_id]}
            write_text(out / kind / f'fold{fold}.json', json.dumps(rows))


def prepare(coco: Path, masks: Path | None, lists: Path | None, out: Path) -> None:
    """Images, masks and lists below ``out``."""
    for part in PARTS.values():
        link_folder(out / part, coco / part)
        if masks is not None:
            link_folder(out / 'annotations' / part, masks / part)
        else:
            annotations = coco / 'annotations' / f'instances_{part}.json'
            write_masks(annotations, out / 'annotations' / part)
    if lists is not None:
        official_lists(lists, out / 'splits')
    else:
        print('lists are made from the masks: figures are not comparable with published ones')
        lists_of_masks(out, out / 'splits')


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--coco', type=Path, required=True, help='folder of COCO 2014')
    parser.add_argument(
        '--lists', type=Path, help='folder with trn/ and val/ of the official lists'
    )
    parser.add_argument('--masks', type=Path, help='folder with train2014/ and val2014/ of masks')
    parser.add_argument('--out', type=Path, default=Path('data/coco20i'))
    options = parser.parse_args(arguments)
    needed = [options.coco / part for part in PARTS.values()]
    if options.masks is not None:
        needed += [options.masks / part for part in PARTS.values()]
    else:
        needed += [
            options.coco / 'annotations' / f'instances_{part}.json' for part in PARTS.values()
        ]
    if options.lists:
        needed += [
            options.lists / kind / f'fold{fold}.pkl' for kind in PARTS for fold in range(NUM_FOLDS)
        ]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        print(f'coco20i: there is no {", ".join(missing)}', file=sys.stderr)
        return 1
    prepare(options.coco, options.masks, options.lists, options.out)
    print(f'-> {options.out}')
    return 0


if __name__ == '__main__':
    user_errors.run(main)
