"""Grounding data: captions whose phrases have boxes, one json record per line."""

from collections import Counter

import numpy as np
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmengine.fileio import get_local_path, join_path
from mmengine.logging import print_log

from mmclip.datasets.bad_images import SkipsBadImages
from mmclip.datasets.odvg_records import (
    ODVGRecord,
    Phrases,
    clean_boxes,
    instances_of,
    merge_same_boxes,
    read_phrases,
)
from mmclip.io.parsing import parsing, read_json, whole_number
from mmclip.io.records import existing_file, parsing_record, read_jsonl
from mmclip.registry import DATASETS
from mmclip.text.captions import Caption
from mmclip.text.class_names import class_names


class CaptionPool:
    """Captions of other samples, for :class:`mmclip.PackCaptions`.

    Args:
        dataset: Where they are drawn from.
        own: The sample's own caption, which is no negative.
    """

    def __init__(self, dataset: 'ODVGDataset', own: str) -> None:
        self.dataset, self.own = dataset, own

    def draw(self, count: int, rng: np.random.RandomState) -> list[Caption]:
        """At most ``count`` captions, drawn with repetition; the own one is dropped."""
        places = rng.randint(len(self.dataset), size=count)
        drawn = (self.dataset.get_data_info(int(i)) for i in places)
        return [
            Caption(info['text'], info['phrase_spans'])
            for info in drawn
            if info['text'] != self.own
        ]


@DATASETS.register_module()
class ODVGDataset(SkipsBadImages, BaseDetDataset):
    """ODVG files: grounding records (captions with regions) or detection records, not both.

    A record has ``filename``, ``height``, ``width`` and either

    - ``grounding``: ``caption`` and ``regions``, see
      :func:`mmclip.datasets.odvg_records.read_phrases`, and ``question`` if the caption is a
      question with its answer (``mmclip.MaskAnswerTokens``). Samples get ``text``,
      ``phrase_spans`` and labels that are numbers of phrases, for ``mmclip.CaptionGrounding``; when
      testing also ``phrase_boxes`` and ``phrase_types``, for ``mmclip.PhraseRecall``. Phrases may
      be without boxes;
    - or ``detection``: ``instances`` with ``bbox`` and ``label``. Samples get the class names as
      ``text``, for ``mmclip.DetToGrounding``.

    Boxes are xyxy in pixels. Those smaller than a pixel or outside their image are dropped, the
    others clipped, and one line says how many. In training a box of several phrases is one box.

    Args:
        label_map_file: Json from label to class name, for detection records; a known vocabulary or
            a list of names in ``metainfo['classes']`` will do as well.
        min_score: Boxes of pseudo-labels must exceed it.
        nms_iou: Non-maximum suppression of pseudo-labels; None for none, as in the released models.
        min_boxes: In training, images with fewer boxes are left out.
        skip_bad_images: In training, another sample replaces one whose image is missing or broken.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: a line that is no record, records of both kinds, labels without a name, no
            record (left).
    """

    def __init__(
        self,
        *args,
        label_map_file: str | None = None,
        min_score: float = 0.0,
        nms_iou: float | None = None,
        min_boxes: int = 0,
        skip_bad_images: bool = False,
        **kwargs,
    ) -> None:
        self.label_map_file = label_map_file
        self.min_score, self.nms_iou, self.min_boxes = min_score, nms_iou, min_boxes
        self.skip_bad_images = skip_bad_images
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        dropped: Counter = Counter()
        if self.backend_args is None:
            existing_file(self.ann_file, 'ann_file')
        names = self._class_names()
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            data_list = [
                self._info(number, record, names, dropped)
                for number, (_, record) in enumerate(read_jsonl(path))
            ]
        kinds = {info['kind'] for info in data_list}
        if len(kinds) != 1:
            raise ValueError(
                f'{self.ann_file} holds no record'
                if not kinds
                else f'{self.ann_file} holds captions and detection records; make two files of it'
            )
        if kinds == {'detection'}:
            self._metainfo['classes'] = names
        parts = [f'{count} {reason}' for reason, count in dropped.items() if count]
        if parts:
            print_log(
                f'{self.ann_file}: boxes dropped: {", ".join(parts)}', logger='current', level=30
            )
        return data_list

    def filter_data(self) -> list[dict]:
        least = self.min_boxes
        if self.filter_cfg and self.filter_cfg.get('filter_empty_gt', False):
            least = max(least, 1)
        if self.test_mode or not least:
            return self.data_list
        kept = [info for info in self.data_list if len(info['instances']) >= least]
        if not kept:
            raise ValueError(f'min_boxes={least} leaves no image of {self.ann_file}')
        return kept

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        if info['kind'] == 'grounding':
            info['caption_pool'] = CaptionPool(self, info['text'])
        else:  # here, so that the names are not kept once per image
            info |= dict(text=self._metainfo['classes'], caption_prompt=self.caption_prompt)
        return info

    def _class_names(self) -> tuple[str, ...] | None:
        if self.label_map_file is not None:
            path = join_path(self.data_root or '', self.label_map_file)
            path = existing_file(path, 'label_map_file')
            names = read_json(path, f'label_map_file: {path}', kind=dict, distinct=True)
            if names.keys() != {str(label) for label in range(len(names))}:
                raise ValueError(f'{path}: its labels are not 0 to {len(names) - 1}')
            with parsing(f'label_map_file: {path}'):
                return class_names([names[str(label)] for label in range(len(names))])
        classes = self._metainfo.get('classes')
        return None if classes is None else class_names(classes)

    def _info(
        self, number: int, record: dict, names: tuple[str, ...] | None, dropped: Counter
    ) -> dict:
        where = f'record {number + 1} of {self.ann_file}'
        with parsing_record(
            record, ODVGRecord, where, 'docs/en/datasets.md shows what a record holds'
        ):
            size = record['height'], record['width']
            info = dict(
                img_id=record.get('image_id', number),
                img_path=join_path(self.data_prefix.get('img', ''), record['filename']),
                seg_map_path=None,
                height=size[0],
                width=size[1],
            )
            if 'grounding' in record:
                return info | self._grounding(record['grounding'], size, dropped)
            return info | self._detection(record.get('detection', {}), size, names, dropped)

    def _grounding(self, content: dict, size: tuple[int, int], dropped: Counter) -> dict:
        found = read_phrases(content['caption'], content['regions'], dropped)
        clean_boxes(found, size, dropped, min_score=self.min_score, nms_iou=self.nms_iou)
        if not self.test_mode:
            merge_same_boxes(found)
        info = dict(
            kind='grounding',
            text=content['caption'],
            phrase_spans=found.spans,
            instances=instances_of(found),
        )
        if 'question' in content:
            info['question'] = content['question']
        if self.test_mode:
            boxes: list[list] = [[] for _ in found.spans]
            for label, box in zip(found.labels, found.boxes, strict=True):
                boxes[label].append(box)
            info |= dict(phrase_boxes=boxes, phrase_types=found.types)
        return info

    def _detection(
        self,
        content: dict,
        size: tuple[int, int],
        names: tuple[str, ...] | None,
        dropped: Counter,
    ) -> dict:
        rows = content.get('instances', ())
        found = Phrases(
            boxes=[row['bbox'] for row in rows],
            labels=[whole_number(row['label'], 'label') for row in rows],
            scores=[row.get('score', 1.0) for row in rows],
            masks=[row.get('segmentation') for row in rows],
        )
        if names is None or (rows and not 0 <= min(found.labels) <= max(found.labels) < len(names)):
            raise ValueError(
                f'{self.ann_file} has detection records: label_map_file (or metainfo) must name '
                f'all classes, it names {len(names or ())}'
            )
        clean_boxes(found, size, dropped, min_score=self.min_score, nms_iou=self.nms_iou)
        return dict(kind='detection', instances=instances_of(found))
