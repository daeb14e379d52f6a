"""Writes ODVG files with masks from PhraseCut's annotations.

    python tools/dataset_converters/phrase_cut.py data/phrase_cut --split test

reads ``refer_test.json`` (a phrase, its boxes and polygons per record) and
``image_data_split.json`` (sizes of the Visual Genome images), and writes ``odvg_test.jsonl``:
one record per phrase, which is the whole caption.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from mmclip import user_errors
from mmclip.datasets.odvg_writers import write_lines
from mmclip.io.parsing import read_json

SPLITS = ('train', 'val', 'test', 'miniv')


def read(path: Path) -> list[dict]:
    """A json file of PhraseCut.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; get it with PhraseCut, github.com/ChenyunWu/PhraseCutDataset'
        )
    return read_json(path, kind=list)


def records(folder: Path, split: str) -> Iterator[dict]:
    """ODVG records: boxes xywh become xyxy, each object's polygons stay with it.

    Raises:
        ValueError: an image whose size is not known.
    """
    sizes = {row['image_id']: row for row in read(folder / 'image_data_split.json')}
    for row in read(folder / f'refer_{split}.json'):
        if row['image_id'] not in sizes:
            raise ValueError(f'image_data_split.json has no image {row["image_id"]}')
        size, phrase = sizes[row['image_id']], row['phrase']
        boxes = [[x, y, x + w, y + h] for x, y, w, h in row['instance_boxes']]
        polygons = [
            [[number for point in polygon for number in point] for polygon in one]
            for one in row['Polygons']
        ]
        region = dict(
            phrase=phrase,
            tokens_positive=[[0, len(phrase)]],
            bbox=boxes,
            segmentation=polygons,
        )
        yield dict(
            filename=f'{row["image_id"]}.jpg',
            image_id=row['task_id'],
            height=size['height'],
            width=size['width'],
            grounding=dict(caption=phrase, regions=[region]),
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='with refer_<split>.json')
    parser.add_argument('--split', default='test', choices=SPLITS)
    parser.add_argument('--out', type=Path, help='default: <folder>/odvg_<split>.jsonl')
    options = parser.parse_args(arguments)
    out = options.out or options.folder / f'odvg_{options.split}.jsonl'
    print(f'{out}: {write_lines(out, records(options.folder, options.split))} records')


if __name__ == '__main__':
    user_errors.run(main)
