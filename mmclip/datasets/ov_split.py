"""Annotation files for open-vocabulary training: boxes of novel classes removed, images stay."""

import json
from collections.abc import Iterable
from pathlib import Path

from mmclip.datasets.annotation_file import read_annotation_file
from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import parsing


def split_of_names(
    names: Iterable[str], *, base: Iterable[str], novel: Iterable[str], unused: Iterable[str] = ()
) -> dict[str, str]:
    """'base', 'novel' or 'unused' for every name.

    Raises:
        ValueError: lists that overlap, leave a name out or hold one that is not among ``names``.
    """
    lists = dict(base=set(base), novel=set(novel), unused=set(unused))
    names = list(names)
    result: dict[str, str] = {}
    for split, members in lists.items():
        for name in sorted(members):
            if name in result:
                raise ValueError(f'{name!r} is in the lists {result[name]!r} and {split!r}')
            result[name] = split
    unknown = sorted(result.keys() - set(names))
    if unknown:
        raise ValueError(f'{result[unknown[0]]}: {unknown[0]!r} is no category of the file')
    left = [name for name in names if name not in result]
    if left:
        raise ValueError(
            f'{len(left)} categories are in no list, e.g. {left[0]!r}; every one is base, novel or '
            'unused'
        )
    return result


def select_splits(
    content: dict, splits: dict[str, str], *, boxes_of: Iterable[str], categories_of: Iterable[str]
) -> tuple[dict, dict[str, int]]:
    """An annotation file with some boxes and categories only; every image stays.

    Args:
        content: LVIS or COCO json.
        splits: Split of each category's name.
        boxes_of: Splits whose boxes stay.
        categories_of: Splits whose categories stay, each with its field ``split``.

    Returns:
        The new content, and numbers for a report: images, boxes, removed boxes.
    """
    boxes_of, categories_of = set(boxes_of), set(categories_of)
    split_of_id = {row['id']: splits[row['name']] for row in content['categories']}
    categories = [
        {**row, 'split': splits[row['name']]}
        for row in content['categories']
        if splits[row['name']] in categories_of
    ]
    annotations = [
        row for row in content['annotations'] if split_of_id[row['category_id']] in boxes_of
    ]
    counts = dict(
        images=len(content['images']),
        boxes=len(annotations),
        removed=len(content['annotations']) - len(annotations),
    )
    return {**content, 'categories': categories, 'annotations': annotations}, counts


def without_empty_images(content: dict) -> dict:
    """The file without its images that have no box."""
    used = {row['image_id'] for row in content['annotations']}
    return {**content, 'images': [row for row in content['images'] if row['id'] in used]}


def write_json(path: Path, content: dict) -> None:
    """Write a json file whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content))


def convert_file(
    source: Path,
    target: Path,
    splits_of: dict[str, str],
    *,
    boxes_of: Iterable[str],
    categories_of: Iterable[str],
    drop_empty: bool = False,
) -> str:
    """Convert one file; returns a line that says what was done.

    Raises:
        FileNotFoundError, ValueError: ``source`` is missing or no annotation file.
    """
    content = read_annotation_file(source)
    with parsing(source):
        content, counts = select_splits(
            content, splits_of, boxes_of=boxes_of, categories_of=categories_of
        )
        if drop_empty:
            content = without_empty_images(content)
            counts['images'] = len(content['images'])
    write_json(target, content)
    return (
        f'{target}: {counts["images"]} images, {len(content["categories"])} categories, '
        f'{counts["boxes"]} boxes ({counts["removed"]} removed)'
    )
