"""The benchmarks of the fold protocol: which classes each fold tests, and where the files lie."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmclip.io.parsing import DamagedFile, is_digits
from mmclip.io.records import read_lines, read_typed_json, typed

PARTS = ('train', 'val', 'test')
NUM_FOLDS = 4
FSS_RANGES = {'train': (0, 520), 'val': (520, 760), 'test': (760, 1000)}


@dataclass(frozen=True)
class Entry:
    """One question: where is class ``class_id`` in this image?"""

    image: str
    mask: str
    class_id: int


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark words, splits and stores its classes.

    Args:
        classes: Vocabulary with the official words.
        corrected: Vocabulary with the same classes in proper words.
        num_classes: Without the background.
        fold_of: The fold that tests a class; None where there are no folds (FSS-1000).
        entries: (root, lists, fold, part) -> questions.
        episodes: Questions of the test; None for every one once.
        draws: How the test's questions come about: ``'cycle'`` through the list, or ``'random'``:
            a class, then an image of it.
        void: Mask values that are ignored.
        counts: Known numbers of (training, test) questions of each fold, to check lists against.
        threshold: Masks are gray images of one class, foreground from this value on.
    """

    classes: str
    corrected: str
    num_classes: int
    fold_of: Callable[[int], int] | None
    entries: Callable[[Path, Path, int | None, str], list[Entry]]
    episodes: int | None = None
    draws: str = 'cycle'
    void: tuple[int, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()
    threshold: int | None = None


def _text_entries(
    root: Path, lists: Path, fold: int | None, part: str, image: str, mask: str
) -> list[Entry]:
    """Lists with lines ``name__class``, classes counted from 1.

    Training takes the training lists of the other folds, testing the fold's own validation list.
    """
    folds = [f for f in range(NUM_FOLDS) if (f == fold) == (part != 'train')]
    kind = 'trn' if part == 'train' else 'val'
    entries = []
    for number in folds:
        path = _existing(lists / kind / f'fold{number}.txt')
        for at, line in read_lines(path, f'lists: {path}'):
            name, _, class_id = line.rpartition('__')
            if not name or not is_digits(class_id):
                raise DamagedFile(
                    f'lists: {path} holds the line {line!r} (number {at}); expected name__class'
                )
            entries.append(
                Entry(
                    str(root / image.format(name=name, part=part)),
                    str(root / mask.format(name=name, part=part)),
                    int(class_id) - 1,
                )
            )
    return entries


def _pascal(root: Path, lists: Path, fold: int | None, part: str) -> list[Entry]:
    image, mask = 'JPEGImages/{name}.jpg', 'SegmentationClassAug/{name}.png'
    return _text_entries(root, lists, fold, part, image, mask)


def _mini_world(root: Path, lists: Path, fold: int | None, part: str) -> list[Entry]:
    if part == 'train':
        return _text_entries(root, lists, fold, part, 'images/{name}.png', 'annotations/{name}.png')
    path = _existing(lists / part / f'fold{fold}.json')
    rows = read_typed_json(path, f'lists: {path}', list[Entry])
    return [Entry(str(root / row.image), str(root / row.mask), row.class_id) for row in rows]


def _coco(root: Path, lists: Path, fold: int | None, part: str) -> list[Entry]:
    """``{trn,val}/fold{i}.json``: class -> image names, from ``tools/dataset_converters``."""
    kind = 'trn' if part == 'train' else 'val'
    path = _existing(lists / kind / f'fold{fold}.json')
    entries = []
    for key, value in read_typed_json(path, f'lists: {path}', dict).items():
        if not is_digits(key):
            raise DamagedFile(f'lists: {path}: the class {key!r} is no number')
        for name in typed(value, list[str], f'lists: {path}: class {key}'):
            mask = root / 'annotations' / Path(name).with_suffix('.png')
            entries.append(Entry(str(root / name), str(mask), int(key)))
    return entries


def _fss(root: Path, lists: Path, fold: int | None, part: str) -> list[Entry]:
    from mmclip.text.class_names import class_names

    first, last = FSS_RANGES[part]
    entries = []
    for class_id, name in list(enumerate(class_names('fss1000')))[first:last]:
        folder = _existing(root / name)
        for image in sorted(folder.glob('*.jpg'), key=str):
            entries.append(Entry(str(image), str(image.with_suffix('.png')), class_id))
    return entries


def _latin(class_id: int) -> int:
    """MiniWorld: each fold tests all shapes, textures and colors, in compositions of its own."""
    shape, rest = divmod(class_id, 32)
    texture, color = divmod(rest, 8)
    return (shape + texture + color) % NUM_FOLDS


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(
            f'data_root: there is no {path}; docs/en/datasets.md tells how the folds are prepared'
        )
    return path


BENCHMARKS = {
    'pascal5i': Benchmark(
        'voc20',
        'voc20_spaced',
        20,
        lambda class_id: class_id // 5,
        _pascal,
        episodes=1000,
        void=(255,),
        counts=((11394, 346), (10255, 451), (7797, 725), (11594, 346)),
    ),
    'coco20i': Benchmark(
        'coco20i', 'coco80', 80, lambda class_id: class_id % 4, _coco, episodes=1000, draws='random'
    ),
    'fss1000': Benchmark('fss1000', 'fss1000', 1000, None, _fss, threshold=128),
    'mini_world': Benchmark('mini_world', 'mini_world', 384, _latin, _mini_world),
}


def benchmark(name: str) -> Benchmark:
    """A benchmark by name.

    Raises:
        ValueError: unknown.
    """
    if name not in BENCHMARKS:
        raise ValueError(f'benchmark: {name!r} is none of {", ".join(BENCHMARKS)}')
    return BENCHMARKS[name]


def fold_classes(name: str, fold: int | None, part: str) -> list[int]:
    """Ids (from 0) of the classes that a part of a benchmark asks for.

    Raises:
        ValueError: unknown benchmark, part or fold.
    """
    known = benchmark(name)
    if part not in PARTS:
        raise ValueError(f'part: {part!r} is none of {", ".join(PARTS)}')
    if known.fold_of is None:
        return list(range(*FSS_RANGES[part]))
    if fold not in range(NUM_FOLDS):
        raise ValueError(f'fold: {fold!r}; {name} has the folds 0 to {NUM_FOLDS - 1}')
    testing = part != 'train'
    return [i for i in range(known.num_classes) if (known.fold_of(i) == fold) == testing]
