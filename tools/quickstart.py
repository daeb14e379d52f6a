"""What `make demo` runs: an open-vocabulary detector from nothing to an image, on two CPU cores.

1. makes MiniWorld in ``data/mini_world`` (a drawn world in LVIS format),
2. trains ViLD-text on its base classes with ``tools/train.py`` (a run that was cut off goes on),
3. tests it with ``tools/test.py`` on all 384 names: base classes, novel shapes that never had a
   box, compositions that were never seen at all; then the same model under shuffled words, with one
   example image per class instead of words, and its naming accuracy at ground-truth boxes,
4. draws the words on boxes in ``work_dirs/demo/*.png`` and prints the table.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/vild/mini/vild_text_r18_mini{}.py'
SPLITS = ('base', 'novel', 'unseen')
# Row of the table -> leaf of the AP50 and leaf of the naming accuracy.
ROWS = {
    'words': ('', '_naming'),
    'shuffled words (control)': ('_shuffled', '_naming_shuffled'),
    'one example image per class': ('_examples', '_naming_examples'),
}


def run(*command: str) -> None:
    print('$', ' '.join(command), flush=True)
    code = subprocess.call([sys.executable, *command], cwd=ROOT)
    if code:
        sys.exit(code)


def test(leaf: str, checkpoint: str, work_dir: Path) -> dict[str, float]:
    """Metrics of one test leaf, through tools/test.py."""
    out = work_dir / f'test{leaf}'
    run('tools/test.py', CONFIG.format(leaf), checkpoint, '--work-dir', str(out))
    newest = max(out.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def table_of(work_dir: Path, checkpoint: str) -> Table:
    table = Table(title='MiniWorld test split, all 384 names as vocabulary')
    table.add_column('vocabulary')
    for split in SPLITS:
        table.add_column(f'AP50 {split}', justify='right')
    for split in SPLITS:
        table.add_column(f'naming {split}', justify='right')
    for row, (leaf, naming_leaf) in ROWS.items():
        boxes = test(leaf, checkpoint, work_dir)
        naming = test(naming_leaf, checkpoint, work_dir)
        table.add_row(
            row,
            *(f'{100 * boxes[f"lvis/bbox_AP50_{split}"]:.1f}' for split in SPLITS),
            *(f'{100 * naming[f"naming/accuracy_{split}"]:.1f}' for split in SPLITS),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--work-dir', default='work_dirs/demo')
    args = parser.parse_args()
    work_dir = ROOT / args.work_dir

    run('tools/make_mini_world.py', '--out', 'data/mini_world', '--parts', 'detection')
    start = time.monotonic()
    config = CONFIG.format('')
    run('tools/train.py', config, '--work-dir', str(work_dir), '--resume')
    minutes = (time.monotonic() - start) / 60
    checkpoint = f'{args.work_dir}/last.pth'

    table = table_of(work_dir, checkpoint)
    images = sorted((ROOT / 'data/mini_world/detection/test').iterdir())[:6]
    montage = f'{args.work_dir}/montage.png'
    drawing = ('--out-dir', args.work_dir, '--montage', montage, '--score-thr', '0.6')
    run('tools/demo.py', *map(str, images), config, checkpoint, *drawing)

    Console(width=110).print(table)
    print(f'training took {minutes:.1f} minutes; images are in {args.work_dir}/*.png')


if __name__ == '__main__':
    main()
