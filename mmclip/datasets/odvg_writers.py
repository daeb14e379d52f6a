"""Other annotation formats as ODVG records: COCO, MDETR's grounding json, Flickr30k Entities."""

import json
import math
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmclip.datasets.annotation_file import image_file, read_annotation_file, read_categories
from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import parsing
from mmclip.io.records import read_text


def write_lines(path: Path, records: Iterable[dict]) -> int:
    """Write records as lines, the whole file or none of it; returns their number."""
    count = 0
    with atomic_file(path) as partial, partial.open('w', encoding='utf-8') as stream:
        for count, record in enumerate(records, 1):  # noqa: B007
            stream.write(json.dumps(record, ensure_ascii=False) + '\n')
    return count


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    if not math.isfinite(x + y + width + height):
        raise ValueError(f'the box {box} is not finite')
    return [x, y, x + width, y + height]


def coco_records(ann_file: Path) -> tuple[tuple[str, ...], Iterator[dict]]:
    """Class names, and detection records, of a COCO or LVIS file; crowds are left out.

    Raises:
        FileNotFoundError, ValueError: no annotation file; an unknown category.
    """
    content = read_annotation_file(ann_file, masks='none')
    categories = read_categories(content['categories'], source=str(ann_file))
    label_of = {category: label for label, category in enumerate(categories.ids)}
    of_image = defaultdict(list)
    for row in content['annotations']:
        with parsing(f'{ann_file}: annotation {row.get("id")}'):
            if row['category_id'] not in label_of:
                raise ValueError(f'category {row["category_id"]!r} has no name')
            if not row.get('iscrowd', 0):
                label = label_of[row['category_id']]
                instance = dict(
                    bbox=_corners(row['bbox']), label=label, category=categories.names[label]
                )
                of_image[row['image_id']].append(instance)

    def record(image: dict) -> dict:
        with parsing(f'{ann_file}: image {image.get("id")}'):
            return dict(
                filename=image_file(image, source=str(ann_file)),
                height=image['height'],
                width=image['width'],
                detection=dict(instances=of_image[image['id']]),
            )

    return categories.names, map(record, content['images'])


def mdetr_records(ann_file: Path) -> Iterator[dict]:
    """Grounding records of MDETR's json (``final_mixed_train.json``, ``final_flickr_...json``).

    Each image has a ``caption``; each annotation a ``bbox`` and ``tokens_positive``.

    Raises:
        FileNotFoundError, ValueError: no such file; no captions in it.
    """
    content = read_annotation_file(ann_file)
    of_image = defaultdict(list)
    for row in content['annotations']:
        with parsing(f'{ann_file}: annotation {row.get("id")}'):
            spans = tuple(tuple(span) for span in row['tokens_positive'])
            of_image[row['image_id']].append((spans, _corners(row['bbox'])))
    for image in content['images']:
        with parsing(f'{ann_file}: image {image.get("id")}'):
            if 'caption' not in image:
                raise ValueError('has no caption; is the file of MDETR?')
            record = _mdetr_record(image, of_image[image['id']])
        yield record


def _mdetr_record(image: dict, boxes: list[tuple[tuple, list[float]]]) -> dict:
    caption = image['caption']
    boxes_of: dict[tuple, list] = {}
    for spans, box in boxes:
        boxes_of.setdefault(spans, []).append(box)
    regions = [
        dict(
            phrase=' '.join(caption[start:end] for start, end in spans),
            tokens_positive=[list(span) for span in spans],
            bbox=boxes,
        )
        for spans, boxes in boxes_of.items()
    ]
    return dict(
        filename=image['file_name'],
        height=image['height'],
        width=image['width'],
        grounding=dict(caption=caption, regions=regions),
    )


def read_sentence(line: str) -> tuple[str, list[tuple[list[int], str, list[str]]]]:
    """A line of Flickr30k Entities, '[/EN#12/people A man] in [/EN#3/clothing a hat] .'.

    Returns:
        The sentence, and for each phrase its range of characters, its id and its types.
    """
    words: list[str] = []
    phrases, start, head = [], 0, ''
    for token in line.split():
        if token.startswith('[/EN#'):
            head, start = token, len(' '.join([*words, '']))
            continue
        closes = bool(head) and token.endswith(']')
        words.append(token[:-1] if closes else token)
        if closes:
            number, *types = head.removeprefix('[/EN#').split('/')
            phrases.append(([start, len(' '.join(words))], number, types))
            head = ''
    return ' '.join(words), phrases


def read_entities(path: Path) -> tuple[tuple[int, int], dict[str, list[list[float]]]]:
    """Height and width of an image, and the boxes of each phrase id."""
    with parsing(path):
        root = ElementTree.parse(path).getroot()
        size = int(root.findtext('size/height')), int(root.findtext('size/width'))
        boxes = defaultdict(list)
        for element in root.findall('object'):
            corner = element.find('bndbox')
            if corner is not None:
                box = [float(corner.findtext(side)) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
                for name in element.findall('name'):
                    boxes[name.text].append(box)
    return size, boxes


def flickr30k_records(folder: Path, split: str) -> Iterator[dict]:
    """Grounding records of Flickr30k Entities, one per sentence, with the types of its phrases.

    Phrases without a box are left out, and sentences without any phrase left.

    Args:
        folder: With ``Annotations/``, ``Sentences/`` and ``train.txt``, ``val.txt``, ``test.txt``.
        split: 'train', 'val' or 'test'.

    Raises:
        FileNotFoundError: a file is missing.
    """
    index = folder / f'{split}.txt'
    if not index.is_file():
        raise FileNotFoundError(f'{index} is missing; {folder} is not Flickr30k Entities')
    for name in read_text(index).split():
        size, boxes = read_entities(folder / 'Annotations' / f'{name}.xml')
        sentences = read_text(folder / 'Sentences' / f'{name}.txt')
        for line in sentences.splitlines():
            caption, phrases = read_sentence(line)
            regions = [
                dict(
                    phrase=caption[span[0] : span[1]],
                    tokens_positive=[span],
                    bbox=boxes[number],
                    types=types,
                )
                for span, number, types in phrases
                if number in boxes
            ]
            if regions:
                yield dict(
                    filename=f'{name}.jpg',
                    height=size[0],
                    width=size[1],
                    grounding=dict(caption=caption, regions=regions),
                )
