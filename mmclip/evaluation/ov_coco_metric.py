"""AP50 of OV-COCO: 17 novel, 48 base and all 65 classes, with the protocol in the names."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmclip.evaluation.lvis_metric import OpenVocabLVISMetric
from mmclip.registry import METRICS
from mmclip.text.class_names import class_names, novel_names

VARIANTS = {
    65: 'generalized, the classifier holds the 65 classes',
    80: 'generalized, the classifier holds all 80 classes of COCO; the 15 unused are not scored',
    48: 'constrained, the classifier holds the 48 base classes only',
    17: 'constrained, the classifier holds the 17 novel classes only',
}


@METRICS.register_module()
class OVCocoMetric(BaseMetric):
    """Box (or mask) AP of OV-COCO 48/17.

    Published numbers differ in what the classifier holds, so the results say it: ``ov_coco_65/...``
    when it holds the 65 classes (DetPro), ``ov_coco_80/...`` when it holds all 80 and detections of
    the 15 unused classes are thrown away after the limit per image (ovdet), ``ov_coco_17/...`` and
    ``ov_coco_48/...`` when it holds one part only. The variant is read from the dataset's classes.

    Results: ``bbox_AP50_novel``, ``bbox_AP50_base``, ``bbox_AP50_all``, and ``bbox_AP_...`` (mean
    over IoU 0.5:0.95). COCO's AP is a mean over classes that are judged one by one, so these equal
    the values from annotation files that are filtered to one part.

    Source: Bansal et al. 2018 and OVR-CNN (split and generalized protocol); ViLD, table 6.

    Args:
        ann_file: COCO's ``instances_val2017.json``, or a file made of it by
            ``tools/dataset_converters/ov_coco.py``.
        variant: 65, 80, 48 or 17 to insist on; None takes what the dataset says.
        metric: 'bbox', 'segm' or both.
        max_dets: Best detections per image, over all classes of the classifier.
        collect_dir: Folder for the processes' files; one that all machines share.

    Raises:
        FileNotFoundError: no ``ann_file``.
        ValueError: an unknown variant; classes that are none of the variants, or another one.
    """

    default_prefix = 'ov_coco'

    def __init__(
        self,
        *,
        ann_file: str,
        variant: int | None = None,
        metric: str | Sequence[str] = 'bbox',
        max_dets: int = 100,
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device='cpu', prefix=prefix, collect_dir=collect_dir)
        if variant is not None and variant not in VARIANTS:
            raise ValueError(f'variant: {variant!r} is none of {sorted(VARIANTS)}')
        self.variant = variant
        self.max_dets = max_dets
        self._scorer = OpenVocabLVISMetric(
            ann_file=ann_file,
            metric=metric,
            max_dets=max_dets,
            federated=False,
            novel=sorted(novel_names('ov_coco')),
            collect_dir=collect_dir,
        )

    @property
    def dataset_meta(self) -> dict | None:
        """Of the dataset; its classes decide the variant."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self._dataset_meta = meta
        names = list(meta['classes'])
        self._found = variant_of(names)
        if self.variant not in (None, self._found):
            raise ValueError(
                f'variant: {self.variant} is asked for, but the dataset has {self._found} classes '
                f'({VARIANTS[self._found]})'
            )
        used = [name for name in class_names('ov_coco') if name in names]
        self._scorer.dataset_meta = dict(classes=used)
        place = {name: index for index, name in enumerate(used)}
        self._label = np.array([place.get(name, -1) for name in names])

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the best detections of an image, then those of the classes that are scored."""
        self._scorer.process(data_batch, [self._scored(sample) for sample in data_samples])

    def _scored(self, sample: dict) -> dict:
        instances = sample['pred_instances']
        scores = torch.as_tensor(instances['scores'])
        best = scores.argsort(descending=True, stable=True)[: self.max_dets].cpu()
        labels = torch.from_numpy(self._label)[torch.as_tensor(instances['labels']).cpu()[best]]
        kept = best[labels >= 0]
        chosen = {'labels': labels[labels >= 0]}
        for name in ('bboxes', 'scores', 'masks'):
            if name in instances:
                chosen[name] = instances[name][kept.to(scores.device)]
        return dict(img_id=sample['img_id'], pred_instances=chosen)

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics, the same on every process."""
        found = self._scorer.evaluate(size)
        results = {}
        for kind in self._scorer.metrics:
            for measure in ('AP50', 'AP'):
                everything = found[f'{self._scorer.prefix}/{kind}_{measure}']
                for part, count in (('novel', 17), ('base', 48)):
                    key = f'{self._scorer.prefix}/{kind}_{measure}_{part}'
                    if key in found:
                        results[f'{kind}_{measure}_{part}'] = found[key]
                    elif self._found == count:
                        results[f'{kind}_{measure}_{part}'] = everything
                if self._found in (65, 80):
                    results[f'{kind}_{measure}_all'] = everything
        print_log(f'OV-COCO, variant {self._found}: {VARIANTS[self._found]}', logger='current')
        return {f'{self.prefix}_{self._found}/{name}': value for name, value in results.items()}

    def compute_metrics(self, results: list) -> dict:
        raise NotImplementedError('OVCocoMetric reads its results from files, see evaluate()')


def variant_of(names: Sequence[str]) -> int:
    """Which variant a list of class names is.

    Raises:
        ValueError: it is none.
    """
    used, novel = set(class_names('ov_coco')), set(novel_names('ov_coco'))
    sets = {65: used, 80: set(class_names('coco80')), 48: used - novel, 17: novel}
    for variant, members in sets.items():
        if len(names) == variant and set(names) == members:
            return variant
    strange = sorted(set(names) - sets[80])[:3]
    raise ValueError(
        f'the {len(names)} classes of the dataset are neither the 65 of OV-COCO, its 48 base or '
        f'17 novel ones, nor the 80 of COCO' + (f'; not of COCO: {strange}' if strange else '')
    )
