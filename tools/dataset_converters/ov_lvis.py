"""Makes a base-only training file: boxes of novel classes removed, images and categories stay.

    python tools/dataset_converters/ov_lvis.py data/lvis_v1/annotations/lvis_v1_train.json

writes ``lvis_v1_train_base.json`` beside it: boxes of the 405 frequent and 461 common classes; the
337 rare ones are novel. Configs of mmclip do not need it, since ``mmclip.OpenVocabLVISDataset``
leaves novel boxes out itself (``drop_novel_boxes``); other code bases and detectors do.

--novel names other novel classes, for LVIS or any file in COCO's format; the field ``split`` of a
category counts if there is one (MiniWorld).
"""

import argparse
from pathlib import Path

from mmclip import user_errors
from mmclip.datasets.annotation_file import BASE, read_annotation_file, read_categories
from mmclip.datasets.ov_split import convert_file, split_of_names


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='LVIS v1 or COCO annotation file')
    parser.add_argument('--out', type=Path, help='default: the source with _base before .json')
    parser.add_argument('--novel', nargs='+', help='names of the novel classes')
    parser.add_argument('--base', nargs='+', help='names of the base classes; default: the others')
    options = parser.parse_args(arguments)
    content = read_annotation_file(options.source)
    categories = read_categories(
        content['categories'], source=str(options.source), novel=options.novel
    )
    novel = set(categories.novel)
    base = set(categories.names) - novel if options.base is None else options.base
    split_of_names(categories.names, base=base, novel=novel)  # overlaps and gaps
    splits = dict(zip(categories.names, categories.splits, strict=True))
    if not novel:
        raise ValueError(
            f'{options.source} has no novel class: no frequency r, no split, no --novel'
        )
    out = options.out or options.source.with_name(f'{options.source.stem}_base.json')
    kept = set(splits.values())
    print(convert_file(options.source, out, splits, boxes_of=(BASE,), categories_of=kept))


if __name__ == '__main__':
    user_errors.run(main)
