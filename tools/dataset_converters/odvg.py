"""Writes ODVG files, which GLIP trains on, from COCO, MDETR or Flickr30k Entities annotations.

    python tools/dataset_converters/odvg.py coco data/objects365v1/objects365_train.json \\
        --out data/objects365v1/odvg_train.jsonl
    python tools/dataset_converters/odvg.py mdetr data/gqa/final_mixed_train_no_coco.json \\
        --out data/gqa/odvg_mixed_train_no_coco.jsonl
    python tools/dataset_converters/odvg.py flickr30k data/flickr30k_entities --split test \\
        --out data/flickr30k_entities/odvg_test.jsonl

Beside the records of a COCO file lies ``label_map.json`` with its class names.
"""

import argparse
import json
from pathlib import Path

from mmclip import user_errors
from mmclip.datasets.odvg_writers import (
    coco_records,
    flickr30k_records,
    mdetr_records,
    write_lines,
)
from mmclip.io.atomic import write_text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('kind', choices=('coco', 'mdetr', 'flickr30k'))
    parser.add_argument('source', type=Path, help='json file; for flickr30k the folder')
    parser.add_argument('--out', type=Path, required=True, help='file to write (.jsonl)')
    parser.add_argument('--split', default='train', choices=('train', 'val', 'test'))
    options = parser.parse_args(arguments)
    if options.kind == 'coco':
        names, records = coco_records(options.source)
        count = write_lines(options.out, records)
        labels = options.out.with_name('label_map.json')
        write_text(labels, json.dumps({str(i): name for i, name in enumerate(names)}, indent=1))
        print(f'{labels}: {len(names)} classes')
    elif options.kind == 'mdetr':
        count = write_lines(options.out, mdetr_records(options.source))
    else:
        count = write_lines(options.out, flickr30k_records(options.source, options.split))
    print(f'{options.out}: {count} records')


if __name__ == '__main__':
    user_errors.run(main)
