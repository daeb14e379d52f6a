"""Boxes and masks in LVIS v1 or COCO format, with base and novel classes."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmengine.fileio import get_local_path, join_path
from mmengine.logging import print_log

from mmclip.datasets.annotation_file import (
    BASE,
    Categories,
    check_masks,
    image_file,
    read_annotation_file,
    read_categories,
)
from mmclip.datasets.bad_images import SkipsBadImages
from mmclip.io.parsing import damaged, parsing
from mmclip.registry import DATASETS

MIN_SIDE = 1.0  # pixels; mmdet drops smaller boxes too
_FOUR_NUMBERS = 'bbox is [x, y, width, height], area a number'


@DATASETS.register_module()
class OpenVocabLVISDataset(SkipsBadImages, BaseDetDataset):
    """Detection data whose classes come from the annotation file, with a base and a novel part.

    Reads LVIS v1 and COCO json. Class ``i`` is the i-th category in the order of ids, which may
    have gaps. ``metainfo`` holds ``classes`` (names as in the file), ``splits`` ('base', 'novel',
    ... for each class) and ``novel`` (names of all classes that are not base). They are known once
    the file has been read, so not yet with ``lazy_init=True``.

    With ``return_classes=True`` each sample also names its ``unlabeled_classes``: novel classes of
    which no box is left, so that an image without a box of one may still show it.

    Boxes smaller than a pixel, with a number that is not finite or outside their image are dropped,
    as are those with an ``area`` of 0 (as in mmdet), and one line says how many. An annotation
    whose category the file does not list is an error; mmdet leaves it out without a word.

    With ``load_masks``, an annotation without ``segmentation`` in a file of masks has the mask
    ``[]``: where masks are loaded, mmdet ignores the box, as it does for a polygon that is none.

    Args:
        metainfo: ``dict(classes=[...])`` keeps only these categories, in this order.
        novel: Names of the novel classes, or a known vocabulary (``'ov_coco'``) for its own. By
            default those whose ``split`` in the file is not 'base' or, without that field, whose
            LVIS frequency is 'r'.
        drop_novel_boxes: Leave boxes of novel classes out, as open-vocabulary training must; their
            images stay.
        load_masks: Keep the polygons or run lengths of ``segmentation``; False saves memory.
        skip_bad_images: In training, replace an image that is missing or cannot be decoded by
            another one (at most ``max_refetch`` times in a row) and count it, instead of stopping.
        filter_cfg: ``filter_empty_gt=True`` leaves out images without boxes, ``min_size`` those
            with a shorter side in pixels; only in training.

    Raises:
        FileNotFoundError: If the annotation file or an image is missing.
        ValueError: If ids or names of categories repeat, an annotation names an unknown category,
            ``novel`` or ``classes`` name one that is not there, or an image cannot be decoded.
    """

    def __init__(
        self,
        *args,
        novel: str | Sequence[str] | None = None,
        drop_novel_boxes: bool = False,
        load_masks: bool = True,
        skip_bad_images: bool = False,
        **kwargs,
    ) -> None:
        self.novel = novel
        self.drop_novel_boxes = drop_novel_boxes
        self.load_masks = load_masks
        self.skip_bad_images = skip_bad_images
        self.bad_images = Counter()
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = read_annotation_file(path, masks='arrays' if self.load_masks else 'none')
        known = read_categories(content['categories'], source=self.ann_file, novel=self.novel)
        categories = known
        if self._metainfo.get('classes') is not None:
            categories = known.select(self._metainfo['classes'], source=self.ann_file)
        self._metainfo |= dict(
            classes=categories.names, splits=categories.splits, novel=categories.novel
        )
        self.cat_ids = list(categories.ids)
        self.cat2label = {cat_id: label for label, cat_id in enumerate(categories.ids)}

        annotations = content.pop('annotations')
        self.has_masks = any(record.get('segmentation') for record in annotations)
        of_image = self._group_by_image(annotations, known)
        label_of = self._kept_labels(categories)
        labeled = {label_of.get(annotation['category_id']) for annotation in annotations}
        self.unlabeled = frozenset(
            name
            for label, (name, split) in enumerate(
                zip(categories.names, categories.splits, strict=True)
            )
            if split != BASE and label not in labeled
        )
        del annotations  # each record goes when its image is done
        dropped = Counter()
        data_list = []
        for index, record in enumerate(content['images']):
            with parsing(f'image {record.get("id", f"number {index}")} of {self.ann_file}'):
                found = of_image.pop(record['id'], ())
                data_list.append(self._data_info(record, found, label_of, dropped))
        if len({info['img_id'] for info in data_list}) < max(len(data_list), 1):
            raise ValueError(f'{self.ann_file} holds no image, or two with the same id')
        dropped['without an image in the file'] = sum(map(len, of_image.values()))
        self._report(dropped)
        return data_list

    def filter_data(self) -> list[dict]:
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        min_size = self.filter_cfg.get('min_size', 0)
        no_empty = self.filter_cfg.get('filter_empty_gt', False)
        kept = [
            info
            for info in self.data_list
            if min(info['height'], info['width']) >= min_size
            and not (no_empty and all(i['ignore_flag'] for i in info['instances']))
        ]
        if not kept:
            raise ValueError(
                f'filter_cfg={dict(self.filter_cfg)} leaves no image of {self.ann_file}'
            )
        return kept

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        if self.return_classes:  # here, so that the names are not kept once per image
            info |= dict(
                text=self._metainfo['classes'],
                unlabeled_classes=self.unlabeled,
                caption_prompt=self.caption_prompt,
                custom_entities=True,
            )
        return info

    def _group_by_image(self, annotations: list[dict], known: Categories) -> dict[int, list]:
        allowed = set(known.ids)
        of_image = defaultdict(list)
        for index, annotation in enumerate(annotations):
            try:
                if annotation['category_id'] not in allowed:
                    raise ValueError(
                        f'names category {annotation["category_id"]!r}, which is none of the '
                        f'{len(allowed)} that the file lists; list it, or leave the annotation out'
                    )
                of_image[annotation['image_id']].append(annotation)
            except Exception as error:
                where = annotation.get('id', f'number {index}')
                raise damaged(f'annotation {where} of {self.ann_file}', error) from error
        return of_image

    def _kept_labels(self, categories: Categories) -> dict[int, int]:
        return {
            cat_id: label
            for label, (cat_id, split) in enumerate(
                zip(categories.ids, categories.splits, strict=True)
            )
            if split == BASE or not self.drop_novel_boxes
        }

    def _data_info(
        self, record: dict, annotations: Sequence[dict], label_of: dict, dropped: Counter
    ) -> dict:
        height, width = record['height'], record['width']
        if not (0 < height < math.inf and 0 < width < math.inf):
            raise ValueError(f'its height and width are {height!r} and {width!r}')
        instances, kept = [], []
        for annotation in annotations:
            label = label_of.get(annotation['category_id'])
            if label is None or annotation.get('ignore', False):
                continue
            try:
                x, y, w, h = annotation['bbox']
                # Written so that a NaN is dropped as well.
                inside = min(x + w, width) > max(x, 0) and min(y + h, height) > max(y, 0)
                finite = math.isfinite(x + y + w + h)
                empty = not annotation.get('area', 1) > 0
            except Exception as error:
                where = f'annotation {annotation.get("id")} of {self.ann_file}'
                raise damaged(where, error, _FOUR_NUMBERS) from error
            if not (inside and finite and w >= MIN_SIDE and h >= MIN_SIDE):
                dropped['smaller than a pixel or outside the image'] += 1
                continue
            if empty:
                dropped['of area 0'] += 1
                continue
            instance = dict(
                bbox=[x, y, x + w, y + h],
                bbox_label=label,
                ignore_flag=int(bool(annotation.get('iscrowd', 0))),
            )
            if self.load_masks and self.has_masks:
                instance['mask'] = annotation.get('segmentation') or []
            instances.append(instance)
            kept.append(annotation)
        if self.load_masks:
            check_masks(kept, source=self.ann_file)
        info = dict(
            img_id=record['id'],
            img_path=join_path(
                self.data_prefix.get('img', ''), image_file(record, source=self.ann_file)
            ),
            seg_map_path=None,
            height=height,
            width=width,
            instances=instances,
        )
        return info

    def _report(self, dropped: Counter) -> None:
        parts = [f'{count} {reason}' for reason, count in dropped.items() if count]
        if parts:
            print_log(
                f'{self.ann_file}: boxes dropped: {", ".join(parts)}', logger='current', level=30
            )
