"""Lists of class names: checked lists of one's own, and well-known ones by name."""

import difflib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mmclip.io.parsing import parsing, read_json, texts

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
    content = json.loads(path.read_text(encoding='utf-8'))
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


def names_of_json(path: str | os.PathLike, where: object) -> tuple[str, ...]:
    """Checked class names of a json file: a list, or an object with ``names``.

    Args:
        path: The file.
        where: What to call it in an error.

    Raises:
        FileNotFoundError, ValueError: no such file; it holds no good list of names.
    """
    content = read_json(path, where, keys=('names',))
    with parsing(where):
        return class_names(
            texts(content['names'] if isinstance(content, dict) else content, 'names')
        )


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
