"""Naming accuracy: the right word for an object whose box is given."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mmclip.datasets.annotation_file import BASE, NOVEL
from mmclip.registry import METRICS


@METRICS.register_module()
class NamingAccuracy(BaseMetric):
    """Share of ground-truth boxes whose best label among **all** names is the right one.

    AP over names hides naming errors: a false name costs little where its class is rare. Here the
    model is told where the objects are (``mmclip.ProposalsFromGT`` in the test pipeline) and
    answers every proposal in its order with its best label (``test_cfg`` of the box head:
    ``per_proposal=True``); the i-th prediction is compared with the i-th ground-truth label. A
    prediction whose score is NaN is wrong.

    Results, as fractions of boxes: ``naming/accuracy`` and, by the dataset's ``splits``,
    ``naming/accuracy_base``, ``naming/accuracy_novel``, ``naming/accuracy_unseen``. -1 without
    boxes.

    Raises:
        ValueError: If the model does not answer each proposal exactly once.
    """

    default_prefix = 'naming'

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            truth = _labels(sample['gt_instances'])
            named = _labels(sample['pred_instances'])
            if len(truth) != len(named):
                raise ValueError(
                    f'image {sample.get("img_id")}: {len(named)} predictions for {len(truth)} '
                    'ground-truth boxes. The test pipeline must end with mmclip.ProposalsFromGT '
                    "and the model's test_cfg must set per_proposal=True"
                )
            answered = torch.isfinite(torch.as_tensor(sample['pred_instances']['scores']))
            self.results.append((truth, (truth == named) & answered.cpu().numpy()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        nothing = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool))]
        truth, right = (np.concatenate(parts) for parts in zip(*nothing, *results, strict=True))
        found = dict(accuracy=_mean(right))
        splits = np.array((self.dataset_meta or {}).get('splits', ()))
        names = [BASE, NOVEL] + sorted(set(splits.tolist()) - {BASE, NOVEL})
        present = [name for name in names if (splits == name).any()]
        for name in present if len(present) > 1 else ():
            found[f'accuracy_{name}'] = _mean(right[splits[truth] == name])
        return found


def _labels(instances: dict) -> np.ndarray:
    return torch.as_tensor(instances['labels']).detach().cpu().numpy().astype(np.int64)


def _mean(right: np.ndarray) -> float:
    return float(right.mean()) if right.size else -1.0
