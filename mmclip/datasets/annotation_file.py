"""Reading LVIS v1 and COCO annotation files: plain json, checked, without the lvis package."""

import contextlib
import difflib
import gc
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BASE = 'base'
NOVEL = 'novel'


@dataclass(frozen=True)
class Categories:
    """The categories of an annotation file in the order of their ids, which may have gaps."""

    ids: tuple[int, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    frequencies: tuple[str, ...] | None

    @property
    def novel(self) -> tuple[str, ...]:
        """Names of all classes that are not base classes."""
        return tuple(n for n, s in zip(self.names, self.splits, strict=True) if s != BASE)

    def select(self, names: Sequence[str], *, source: str) -> 'Categories':
        """The categories called ``names``, in that order.

        Raises:
            ValueError: If a name is repeated or is not in the file; close names are listed.
        """
        repeated = _repeated(names)
        if repeated:
            raise ValueError(f"metainfo['classes'] names {repeated[0]!r} more than once")
        index_of = {name: index for index, name in enumerate(self.names)}
        for name in names:
            if name not in index_of:
                close = difflib.get_close_matches(str(name), self.names, n=3)
                hint = f'; close names: {close}' if close else ''
                raise ValueError(f'class {name!r} is not a category of {source}{hint}')
        chosen = [index_of[name] for name in names]
        return Categories(
            ids=tuple(self.ids[i] for i in chosen),
            names=tuple(names),
            splits=tuple(self.splits[i] for i in chosen),
            frequencies=self.frequencies and tuple(self.frequencies[i] for i in chosen),
        )


def read_annotation_file(path: str | Path, *, masks: str = 'lists') -> dict:
    """The content of an LVIS v1 or COCO json file.

    Args:
        path: The file.
        masks: What becomes of ``segmentation`` while the file is read: 'lists' leaves it as it is,
            'arrays' makes each polygon a float64 array (a quarter of the memory), 'none' drops it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not json, or lacks ``images``, ``annotations`` or ``categories``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'ann_file={str(path)!r} does not exist. MiniWorld is made by '
            '`python tools/make_mini_world.py --out data/mini_world`; for other data sets see '
            'docs/en/datasets.md'
        )
    with _collector_paused():
        try:
            content = json.loads(path.read_text(encoding='utf-8'), object_hook=_MASKS[masks])
        except ValueError as error:
            raise ValueError(f'{path} is not a json file or is cut off: {error}') from None
    keys = {'images', 'annotations', 'categories'}
    if not isinstance(content, dict) or not keys <= content.keys():
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'{path} must hold {sorted(keys)} (LVIS v1 or COCO format), found {found}')
    return content


def read_categories(
    records: Sequence[dict], *, source: str, novel: str | Sequence[str] | None = None
) -> Categories:
    """The categories of a file, and which of them are novel.

    A category's split is, in this order: 'novel' for the names in ``novel`` and 'base' for all
    others; its field ``split``; 'novel' for LVIS frequency 'r'; 'base'.

    Args:
        records: The list ``categories`` of an annotation file.
        source: The file's name, for error messages.
        novel: Names of the novel classes, or a known vocabulary such as ``'ov_coco'`` for its own;
            None reads them from the file.

    Raises:
        ValueError: If an id or a name is repeated, there is no category, a name is not a string,
            or ``novel`` names something unknown.
    """
    for record in records:
        if not {'id', 'name'} <= record.keys():
            raise ValueError(f'a category of {source} lacks id or name: {record}')
    records = sorted(records, key=lambda record: record['id'])
    ids = tuple(record['id'] for record in records)
    names = tuple(record['name'] for record in records)
    if not records:
        raise ValueError(f'{source} has no categories')
    for what, values in (('id', ids), ('name', names)):
        repeated = _repeated(values)
        if repeated:
            raise ValueError(
                f'{source} has more than one category with the {what} {repeated[0]!r}; '
                f'{what}s of categories must differ'
            )
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'{source} has a category whose name is {name!r}, not a word')
    if novel is None:
        splits = tuple(_split_of(record) for record in records)
    else:
        if isinstance(novel, str):
            from mmclip.models.common.class_names import novel_names  # imports open_clip

            novel = novel_names(novel) & set(names)
        unknown = sorted(set(novel) - set(names))
        if unknown:
            close = difflib.get_close_matches(unknown[0], names, n=3)
            raise ValueError(
                f'novel={unknown[0]!r} is not a category of {source}; close names: {close}'
            )
        splits = tuple(NOVEL if name in set(novel) else BASE for name in names)
    has_frequency = all('frequency' in record for record in records)
    return Categories(
        ids=ids,
        names=names,
        splits=splits,
        frequencies=tuple(r['frequency'] for r in records) if has_frequency else None,
    )


def image_file(record: dict, *, source: str) -> str:
    """Path of an image below the image folder: ``file_name``, else the end of ``coco_url``."""
    if 'file_name' in record:
        return record['file_name']
    if 'coco_url' in record:
        return '/'.join(record['coco_url'].split('/')[-2:])
    raise ValueError(f'image {record.get("id")} of {source} has neither file_name nor coco_url')


def _split_of(record: dict) -> str:
    if 'split' in record:
        return record['split']
    return NOVEL if record.get('frequency') == 'r' else BASE


def _repeated(values: Sequence) -> list:
    return [value for value, count in Counter(values).items() if count > 1]


def _without_masks(record: dict) -> dict:
    record.pop('segmentation', None)
    return record


def _with_arrays(record: dict) -> dict:
    polygons = record.get('segmentation')
    if isinstance(polygons, list):
        record['segmentation'] = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    return record


_MASKS = {'lists': None, 'arrays': _with_arrays, 'none': _without_masks}


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection while millions of small objects are made: halves the time of LVIS."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
