"""Makes the annotation files of OV-COCO (48 base classes, 17 novel ones) from COCO 2017's.

    python tools/dataset_converters/ov_coco.py data/coco

reads ``annotations/instances_{train,val}2017.json`` and writes beside them

    ov_coco_train2017_base.json   all images, boxes of the 48 base classes
    ov_coco_val2017.json          all images, boxes of the 65 classes

Both list the 65 classes with their field ``split``. With --classes 80 they list all 80 (the 15
others have the split 'unused'), for the variant of the protocol in which the classifier holds all
80.
"""

import argparse
from pathlib import Path

from mmclip import user_errors
from mmclip.datasets.ov_split import convert_file, split_of_names
from mmclip.text.class_names import class_names, novel_names


def ov_coco_splits() -> dict[str, str]:
    """Split of each of the 80 names."""
    used, novel, names = class_names('ov_coco'), novel_names('ov_coco'), class_names('coco80')
    base = set(used) - novel
    return split_of_names(names, base=base, novel=novel, unused=set(names) - set(used))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder of COCO, e.g. data/coco')
    parser.add_argument('--out', type=Path, help='folder; default: annotations/ of the root')
    parser.add_argument('--classes', type=int, choices=(65, 80), default=65)
    parser.add_argument(
        '--drop-empty', action='store_true', help='leave training images without base boxes out'
    )
    options = parser.parse_args(arguments)
    folder = options.root / 'annotations'
    out = options.out or folder
    end = '' if options.classes == 65 else '_80'
    kept = ('base', 'novel') if options.classes == 65 else ('base', 'novel', 'unused')
    for source, name, boxes in (
        ('train', f'ov_coco_train2017_base{end}.json', ('base',)),
        ('val', f'ov_coco_val2017{end}.json', ('base', 'novel')),
    ):
        line = convert_file(
            folder / f'instances_{source}2017.json',
            out / name,
            ov_coco_splits(),
            boxes_of=boxes,
            categories_of=kept,
            drop_empty=options.drop_empty and source == 'train',
        )
        print(line)


if __name__ == '__main__':
    user_errors.run(main)
