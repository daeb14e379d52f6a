"""Reading LVIS v1 and COCO annotation files: plain json, checked, without the lvis package."""

import contextlib
import difflib
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import msgspec
import numpy as np

from mmclip.io.parsing import DamagedFile, parsing, read_json
from mmclip.io.records import existing_file, fast_json
from mmclip.text.class_names import novel_names

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
        ValueError: If it is not json, or ``images``, ``annotations`` or ``categories`` are missing
            or no lists of objects.
    """
    path = existing_file(path, 'ann_file')
    with _collector_paused():
        content = _read_typed(path, masks)
        if content is not None:
            return content
        content = read_json(path, object_hook=_MASKS[masks])
    keys = {'images', 'annotations', 'categories'}
    if not isinstance(content, dict) or not keys <= content.keys():
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'{path} must hold {sorted(keys)} (LVIS v1 or COCO format), found {found}')
    for key in sorted(keys):
        if not isinstance(content[key], list):
            raise ValueError(f'{path}: {key} is no list but {type(content[key]).__name__}')
        for index, record in enumerate(content[key]):
            if not isinstance(record, dict):
                raise ValueError(f'{path}: entry {index} of {key} is no object but {record!r:.60}')
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
        if not isinstance(record['name'], str) or not record['name'].strip():
            name = record['name']
            raise ValueError(f'{source} has a category whose name is {name!r:.60}, not a word')
        if not isinstance(record.get('split', ''), str):
            raise ValueError(f'{source}: the split of category {record["name"]!r} is not a word')
    with parsing(f'{source}: ids of categories'):
        records = sorted(records, key=lambda record: record['id'])
        Counter(record['id'] for record in records)
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
    if novel is None:
        splits = tuple(_split_of(record) for record in records)
    else:
        if isinstance(novel, str):
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
    for key in ('file_name', 'coco_url'):
        if key in record and not isinstance(record[key], str):
            raise DamagedFile(
                f'image {record.get("id")} of {source}: {key} is {record[key]!r:.60}, not a text'
            )
    if 'file_name' in record:
        return record['file_name']
    if 'coco_url' in record:
        return '/'.join(record['coco_url'].split('/')[-2:])
    raise DamagedFile(f'image {record.get("id")} of {source} has neither file_name nor coco_url')


def _split_of(record: dict) -> str:
    if 'split' in record:
        return record['split']
    return NOVEL if record.get('frequency') == 'r' else BASE


def _repeated(values: Sequence) -> list:
    return [value for value, count in Counter(values).items() if count > 1]


_Number = int | float
_Id = int | str


class _Box(TypedDict, total=False):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: list[_Number]
    area: _Number
    iscrowd: int
    ignore: bool | int


class _Mask(_Box, total=False):
    segmentation: msgspec.Raw


class _BoxFile(TypedDict):
    images: list[dict]
    annotations: list[_Box]
    categories: list[dict]


class _MaskFile(_BoxFile):
    annotations: list[_Mask]


_decode_mask = msgspec.json.Decoder(list[list[float]] | dict | None).decode


def _read_typed(path: Path, masks: str) -> dict | None:
    """What anybody reads of an annotation, several times faster; None for a file that does not fit.

    Such a file, and one with NaN, is read as plain json, whose records are checked one by one.
    """
    if masks == 'lists':  # whoever asks for them writes the file again, with all its fields
        return None
    content = fast_json(path, _BoxFile if masks == 'none' else _MaskFile)
    if content is None or masks == 'none':
        return content
    try:
        for record in content['annotations']:
            if 'segmentation' in record:
                mask = _decode_mask(record['segmentation'])
                if isinstance(mask, list):
                    mask = [np.array(polygon, dtype=np.float64) for polygon in mask]
                record['segmentation'] = mask
    except ValueError:
        return None
    return content


def _without_masks(record: dict) -> dict:
    record.pop('segmentation', None)
    return record


def _with_arrays(record: dict) -> dict:
    polygons = record.get('segmentation')
    if isinstance(polygons, list):
        with contextlib.suppress(ValueError, TypeError, OverflowError):  # `check_masks` names it
            record['segmentation'] = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    return record


def check_masks(records: Sequence[dict], *, source: str) -> None:
    """Raise unless the masks of annotations are polygons of finite numbers, or run lengths.

    Args:
        records: Annotations of one image, as ``read_annotation_file(masks='arrays')`` gives them.
        source: The file's name, for the message.

    Raises:
        ValueError: a mask is none; the annotation is named.
    """
    masks = [record['segmentation'] for record in records if record.get('segmentation')]
    polygons = [polygon for mask in masks if isinstance(mask, list) for polygon in mask]
    good = all(isinstance(polygon, np.ndarray) and polygon.ndim == 1 for polygon in polygons)
    good = good and (not polygons or bool(np.isfinite(np.concatenate(polygons)).all()))
    if good and all(isinstance(mask, list) or _is_run_lengths(mask) for mask in masks):
        return
    if len(records) > 1:
        for record in records:
            check_masks([record], source=source)
    raise DamagedFile(
        f'annotation {records[0].get("id")} of {source}: segmentation is neither a list of '
        'polygons [x, y, x, y, ...] nor run lengths {size, counts}'
    )


def _is_run_lengths(mask: object) -> bool:
    if not isinstance(mask, dict) or not isinstance(mask.get('counts'), list | str):
        return False
    size = mask.get('size')
    return isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)


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
