"""Writes Charades' lists of videos with their actions, and the list of the actions' names.

    python tools/dataset_converters/charades.py Charades --out data/charades

reads ``Charades_v1_{train,test}.csv`` and ``Charades_v1_classes.txt`` of the published annotations
and writes ``charades_train_list_videos.txt``, ``charades_val_list_videos.txt`` (the test csv, on
which everybody reports) and ``charades_labels.csv``. A video without an action stays in the test
list, where it counts as a negative of every class; training leaves it out, it has no sentence.
"""

import argparse
import csv
import io
import re
from pathlib import Path

from mmclip import user_errors
from mmclip.io.atomic import atomic_file

_ACTION = re.compile(r'c(\d{3}) \S+ \S+')


def read(path: Path) -> str:
    """The text of a file of the annotations.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; get the annotations at prior.allenai.org/projects/charades'
        )
    return path.read_text(encoding='utf-8')


def action_names(text: str) -> list[str]:
    """Names of ``Charades_v1_classes.txt``, lines 'c000 Holding some clothes'.

    Raises:
        ValueError: other lines, or numbers that are not 0, 1, 2 ...
    """
    names = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        code, _, name = line.partition(' ')
        if code != f'c{number:03}' or not name:
            raise ValueError(f"classes: expected 'c{number:03} name', got {line!r}")
        names.append(name)
    return names


def video_lines(text: str, count: int) -> list[tuple[str, list[int]]]:
    """Files of an annotation csv with the numbers of their actions, each once and rising.

    Raises:
        ValueError: no columns ``id`` and ``actions``, an action that is none of ``count``.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not {'id', 'actions'} <= rows[0].keys():
        raise ValueError("annotations: the csv needs columns 'id' and 'actions', and rows")
    out = []
    for row in rows:
        actions = set()
        for part in filter(None, (row['actions'] or '').split(';')):
            found = _ACTION.fullmatch(part.strip())
            if not found or int(found[1]) >= count:
                raise ValueError(
                    f"annotations: video {row['id']}: expected 'c000 start end' with a number "
                    f'below {count}, got {part!r}'
                )
            actions.add(int(found[1]))
        out.append((f'{row["id"]}.mp4', sorted(actions)))
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='with Charades_v1_train.csv')
    parser.add_argument('--out', type=Path, help='default: the same folder')
    options = parser.parse_args(arguments)
    out = options.out or options.folder
    names = action_names(read(options.folder / 'Charades_v1_classes.txt'))
    with atomic_file(out / 'charades_labels.csv') as partial, partial.open('w') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerows([('id', 'name'), *enumerate(names)])
    for theirs, ours in (('train', 'train'), ('test', 'val')):
        rows = video_lines(read(options.folder / f'Charades_v1_{theirs}.csv'), len(names))
        kept = [row for row in rows if row[1] or ours == 'val']
        path = out / f'charades_{ours}_list_videos.txt'
        with atomic_file(path) as partial:
            partial.write_text(''.join(f'{" ".join([n, *map(str, a)])}\n' for n, a in kept))
        print(f'{path}: {len(kept)} of {len(rows)} videos')


if __name__ == '__main__':
    user_errors.run(main)
