"""Lists of class names: checked lists of one's own, and well-known ones by name."""

import difflib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mmclip.io.parsing import DamagedFile, parsing, read_json, texts
from mmclip.io.records import existing_file, read_csv, read_lines

ENDINGS = ('.json', '.txt', '.csv')
WITH_REPEATS = ('imagenet', 'ade20k_official')
_FOLDER = Path(__file__).resolve().parents[1] / 'assets' / 'vocabularies'


def known_vocabularies() -> tuple[str, ...]:
    """The names that :func:`class_names` and :func:`novel_names` know."""
    return tuple(sorted(path.stem for path in _FOLDER.glob('*.json')))


@lru_cache(maxsize=8)
def _known(name: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names in order, and the novel ones among them."""
    path = _FOLDER / f'{name}.json'
    if path.parent != _FOLDER or not path.is_file():
        near = difflib.get_close_matches(name, known_vocabularies(), n=3, cutoff=0.3)
        raise ValueError(
            f'classes: unknown vocabulary {name!r}; close names: {", ".join(near) or "none"}; '
            f'there are {", ".join(known_vocabularies())}, or give a list of names'
        )
    content = read_json(path)
    return tuple(content['names']), frozenset(content['novel'])


def class_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Checked class names, in order.

    Args:
        classes: A known vocabulary (``'lvis_v1'``, ``'coco80'``, ``'ov_coco'``, ``'voc20'``,
            ``'objects365_v2'``, ``'ade20k'``, ``'imagenet'``, ``'mini_world'`` and what else
            :func:`known_vocabularies` lists) or a list of names.

    Raises:
        ValueError: an unknown vocabulary (close ones are listed); a list that is empty or holds
            something that is no string, an empty name, or a name twice.
    """
    if isinstance(classes, str):
        return _known(classes)[0]
    names = tuple(classes)
    if not names:
        raise ValueError('classes: at least one class name is needed, got an empty list')
    for index, name in enumerate(names):
        if not isinstance(name, str):
            kind = type(name).__name__
            raise ValueError(f'classes: entry {index} is {name!r}, a {kind}; names are strings')
        if not name.strip():
            raise ValueError(f'classes: entry {index} is empty')
    # ImageNet's own list names two classes 'missile' and two 'sunglasses', LSeg's words for ADE20K
    # two 'screen'.
    if len(set(names)) != len(names) and names not in map(class_names, WITH_REPEATS):
        twice = sorted({name for name in names if names.count(name) > 1})[:5]
        raise ValueError(f'classes: these names come more than once: {", ".join(map(repr, twice))}')
    return names


def read_class_names(
    classes: str | Sequence[str], root: str | os.PathLike = '', *, argument: str = 'classes'
) -> tuple[str, ...]:
    """Checked class names out of a file, of a known vocabulary, or given as a list.

    Args:
        classes: As of :func:`class_names`, or a file relative to ``root``, see
            :func:`names_of_file`.
        root: Folder.
        argument: Whose value it is, for the message.

    Raises:
        FileNotFoundError, ValueError: no such file; bad names.
    """
    if not isinstance(classes, str) or not classes.endswith(ENDINGS):
        return class_names(classes)
    return names_of_file(Path(root, classes), argument)


def names_of_file(path: str | os.PathLike, argument: str = 'classes') -> tuple[str, ...]:
    """Checked class names of a file.

    Args:
        path: ``.json``: a list, or an object with ``names``; ``.csv``: a head ``id,name`` and the
            numbers 0, 1, 2 ... in order, as Kinetics' label files; any other: a name per line.
        argument: Whose value it is, for the message.

    Raises:
        FileNotFoundError, ValueError: no such file; it holds no good list of names.
    """
    path = existing_file(path, argument)
    where = f'{argument}: {path}'
    if path.suffix == '.json':
        content = read_json(path, where, keys=('names',), distinct=True)
        with parsing(where):
            names = texts(content['names'] if isinstance(content, dict) else content, 'names')
    elif path.suffix == '.csv':
        names = _names_of_csv(path, where)
    else:
        names = _names_of_text(path, where)
    with parsing(where):
        return class_names(names)


def _names_of_csv(path: Path, where: str) -> list[str]:
    rows = read_csv(path, where, columns=('id', 'name'))
    if not rows:
        raise DamagedFile(f"{where}: there is no row below the head 'id,name'")
    for index, (line, row) in enumerate(rows):
        if not row['name'].strip():
            raise DamagedFile(f'{where}, line {line}: its name is empty')
        if row['id'].strip() != str(index):
            raise DamagedFile(
                f'{where}, line {line}: the id is {row["id"]!r}, not {index}; ids must be 0, 1, 2 '
                '... in order'
            )
    return [row['name'].strip() for _, row in rows]


def _names_of_text(path: Path, where: str) -> list[str]:
    lines = [line for _, line in read_lines(path, where)]
    if lines and lines[0].split(',')[0].split('\t')[0] == 'Idx':
        raise DamagedFile(
            f'{where} is a table (its first line is {lines[0][:60]!r}), not a name per line; the '
            "words of LSeg's objectInfo150.txt are classes='ade20k_official'"
        )
    return lines


def names_at_build(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Names that a model is built with: none for ``'dataset'``, whose names come with its data.

    Raises:
        ValueError: as :func:`class_names`.
    """
    return () if classes == 'dataset' else class_names(classes)


def vocabulary_of(names: Sequence[str]) -> str | None:
    """The known vocabulary that holds just these names, in any order; None if there is none."""
    wanted = set(names)
    return next((known for known in known_vocabularies() if set(_known(known)[0]) == wanted), None)


def novel_names(classes: str) -> frozenset[str]:
    """The names of a known vocabulary that count as novel: LVIS's rare ones, OV-COCO's 17, ...

    Raises:
        ValueError: an unknown vocabulary.
    """
    return _known(classes)[1]
