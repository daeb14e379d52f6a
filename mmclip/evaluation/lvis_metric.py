"""LVIS's AP for open vocabularies, without the lvis package."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from faster_coco_eval.core import mask as mask_api
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmclip.datasets.annotation_file import (
    Categories,
    read_annotation_file,
    read_categories,
)
from mmclip.evaluation.lvis_eval import (
    PrecisionTable,
    is_federated,
    precision_table,
    prepare_ground_truth,
    summarize,
)
from mmclip.evaluation.result_selection import Selection, records_of
from mmclip.evaluation.result_shards import (
    ImageDetections,
    ShardWriter,
    SharedFolder,
    collect,
    distinct_images,
)
from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import parsing
from mmclip.registry import METRICS

FIXED_AP_LIMIT = 10_000  # detections per class over the dataset
MASKS_AT_ONCE = 32


@METRICS.register_module()
class OpenVocabLVISMetric(BaseMetric):
    """Box and mask AP on LVIS v1 or COCO files: all, by frequency, and by base, novel, unseen.

    For each ``metric`` (here bbox) the results are, as fractions: ``lvis/bbox_AP`` (mean over IoU
    0.5:0.95), ``_AP50``, ``_AP75``, ``_APs``, ``_APm``, ``_APl``, ``_AR@300`` (and ``ARs``,
    ``ARm``, ``ARl``); with LVIS frequencies ``_APr``, ``_APc``, ``_APf``; with more than one
    split ``_AP_base``, ``_AP50_base``, ``_AP_novel``, ... A group that has nothing to be found
    gives -1.

    LVIS keeps the ``max_dets`` best detections of an image over **all** classes, and only then
    drops those of classes that are not judged in it (federated annotation). ``fixed_ap`` adds
    ``_fixed_AP``, ``_fixed_APr``, ...: no limit per image, but the 10 000 best detections of each
    class over the dataset, so that classes do not compete for places. To use it, let the model
    give more than 300 detections per image, low scores included (``test_cfg``).

    Every process writes its own detections to files while it predicts; the first one reads them.
    Results of an image that came twice (padding of the last batch) count once.

    Source: lvis-api 0.5.3; Dave et al., Evaluating Large-Vocabulary Object Detectors (2021).

    Args:
        ann_file: LVIS v1 or COCO json.
        metric: 'bbox', 'segm' or both.
        max_dets: Detections per image over all classes.
        fixed_ap: Also compute fixed AP.
        fixed_ap_limit: Detections of a class over the dataset that fixed AP counts.
        novel: Names of the novel classes, or a known vocabulary (``'ov_coco'``) for its own. By
            default those of the dataset, which reads them from its ``novel`` argument, the field
            ``split`` or LVIS's frequency 'r'.
        federated: Whether images judge only some classes; by default, whether the file says which.
        format_only: Only write the detections, to ``outfile_prefix``.
        outfile_prefix: Write COCO's result files ``<prefix>.bbox.json`` and ``<prefix>.segm.json``
            and, unless ``format_only``, tables of all classes ``<prefix>.bbox.csv``, ...
        collect_dir: Folder for the processes' files; one that all machines share.
        prefix: First part of the names of the results.

    Raises:
        FileNotFoundError: If there is no ``ann_file``.
        ValueError: If detections name an image or class that the file does not have, or masks are
            asked for and missing.
    """

    default_prefix = 'lvis'

    def __init__(
        self,
        *,
        ann_file: str,
        metric: str | Sequence[str] = 'bbox',
        max_dets: int = 300,
        fixed_ap: bool = False,
        fixed_ap_limit: int = FIXED_AP_LIMIT,
        novel: str | Sequence[str] | None = None,
        federated: bool | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device='cpu', prefix=prefix, collect_dir=collect_dir)
        self.metrics = (metric,) if isinstance(metric, str) else tuple(metric)
        if not self.metrics or not {'bbox', 'segm'} >= set(self.metrics):
            raise ValueError(f"metric={metric!r} must be 'bbox', 'segm' or a list of them")
        if max_dets < 1:
            raise ValueError(f'max_dets={max_dets} must be at least 1')
        if format_only and outfile_prefix is None:
            raise ValueError('format_only=True needs outfile_prefix, which says where to write')
        self.ann_file = ann_file
        self.max_dets = max_dets
        if fixed_ap_limit < 1:
            raise ValueError(f'fixed_ap_limit={fixed_ap_limit} must be at least 1')
        self.fixed_ap = fixed_ap
        self.fixed_ap_limit = fixed_ap_limit
        self.novel = novel
        self.federated = federated
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self._writer = ShardWriter(collect_dir)
        if not Path(ann_file).is_file():
            read_annotation_file(ann_file)  # says what to do

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            self._writer.append(self._detections(sample))

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics, the same on every process; ``size`` is the length of the dataset."""
        outcome = [None]
        try:
            with SharedFolder(self.collect_dir) as folder:
                problem = None
                try:
                    collect(self._writer, folder)
                    if is_main_process():
                        outcome = [self._evaluate(folder)]
                except Exception as error:
                    problem = error
                    outcome = [f'{type(error).__name__}: {error}']
                broadcast_object_list(outcome)
                if problem is not None:
                    raise problem
        finally:
            self._writer.close()
        if isinstance(outcome[0], str):
            raise RuntimeError(f'the evaluation failed on the first process: {outcome[0]}')
        return {f'{self.prefix}/{name}': value for name, value in outcome[0].items()}

    def compute_metrics(self, results: list) -> dict:
        raise NotImplementedError(
            'OpenVocabLVISMetric reads its results from files, see evaluate()'
        )

    def _detections(self, sample: dict) -> ImageDetections:
        """The valid detections of a sample, best first, at most as many as will be used."""
        instances = sample['pred_instances']
        boxes, scores = _array(instances['bboxes']).reshape(-1, 4), _array(instances['scores'])
        labels = _array(instances['labels'])
        valid = np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
        # Stable, as lvis's own sort: of equal scores the earlier detection comes first.
        order = np.argsort(-scores[valid], kind='stable')
        order = np.flatnonzero(valid)[order if self.fixed_ap else order[: self.max_dets]]
        masks = None
        if 'segm' in self.metrics:
            if 'masks' not in instances:
                raise ValueError(
                    "metric 'segm' needs masks, but the model's pred_instances have none; "
                    "use metric='bbox' or a model with a mask head"
                )
            masks = _run_lengths(instances['masks'], order)
        return ImageDetections(
            image_id=sample['img_id'],
            boxes=boxes[order],
            scores=scores[order],
            labels=labels[order],
            masks=masks,
            invalid=int((~valid).sum()),
        )

    def _evaluate(self, folder: Path) -> dict[str, float]:
        masks = 'lists' if 'segm' in self.metrics else 'none'
        content = read_annotation_file(self.ann_file, masks=masks)
        categories = self._categories(content)
        if self.outfile_prefix is not None:
            for iou_type in self.metrics:
                self._write_results(folder, categories, iou_type)
        if self.format_only:
            return {}
        with parsing(self.ann_file):
            federated = self.federated
            if federated is None:
                federated = is_federated(content['images'])
            truth = prepare_ground_truth(content)
        selection = Selection(folder, content, categories, federated, self.ann_file)
        results = {}
        for iou_type in self.metrics:
            for name, keep in (('', selection.best_of_image(self.max_dets)),) + (
                (('fixed_', selection.best_of_class(self.fixed_ap_limit)),) if self.fixed_ap else ()
            ):
                records, most = selection.records(keep, iou_type)
                table = precision_table(
                    truth,
                    records,
                    category_ids=categories.ids,
                    iou_type=iou_type,
                    max_dets=most if name else self.max_dets,
                    federated=federated,
                )
                self._write_classes(table, categories, f'{name}{iou_type}')
                found = summarize(table, categories, max_dets=None if name else self.max_dets)
                results |= {f'{iou_type}_{name}{key}': value for key, value in found.items()}
        return results

    def _categories(self, content: dict) -> Categories:
        meta = self.dataset_meta or {}
        categories = read_categories(content['categories'], source=self.ann_file, novel=self.novel)
        if meta.get('classes') is not None:
            categories = categories.select(meta['classes'], source=self.ann_file)
            if self.novel is None and meta.get('splits') is not None:
                categories = Categories(
                    ids=categories.ids,
                    names=categories.names,
                    splits=tuple(meta['splits']),
                    frequencies=categories.frequencies,
                )
        return categories

    def _write_results(self, folder: Path, categories: Categories, iou_type: str) -> None:
        target = Path(f'{self.outfile_prefix}.{iou_type}.json')
        with atomic_file(target) as partial, partial.open('w') as file:
            separator = '['
            for image in distinct_images(folder):
                keep = np.arange(len(image)) < self.max_dets
                for record in records_of(image, keep, categories.ids, iou_type):
                    file.write(separator + json.dumps(record))
                    separator = ',\n'
            file.write('[]\n' if separator == '[' else ']\n')
        print_log(f'wrote {target}', logger='current')

    def _write_classes(self, table: PrecisionTable, categories: Categories, name: str) -> None:
        if self.outfile_prefix is None:
            return
        columns = (categories.ids, categories.names, categories.splits)
        aps = (table.ap_per_category(), table.ap_per_category(iou=0.5))
        path = f'{self.outfile_prefix}.{name}.csv'
        with atomic_file(path) as partial, partial.open('w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(('id', 'name', 'split', 'AP', 'AP50'))
            writer.writerows(zip(*columns, *aps, strict=True))


def _run_lengths(masks: torch.Tensor | np.ndarray | list[dict], order: np.ndarray) -> list[dict]:
    """Compressed run lengths of the chosen masks, which are (N, H, W) or run lengths already."""
    if isinstance(masks, list | tuple):
        chosen = [masks[index] for index in order]
        return [dict(size=list(m['size']), counts=_as_bytes(m['counts'])) for m in chosen]
    encoded = []
    for start in range(0, len(order), MASKS_AT_ONCE):
        part = masks[order[start : start + MASKS_AT_ONCE]]
        part = _array(part).astype(np.uint8).transpose(1, 2, 0)
        encoded += mask_api.encode(np.asfortranarray(part))
    return [dict(size=list(m['size']), counts=_as_bytes(m['counts'])) for m in encoded]


def _as_bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts


def _array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)
