"""Evaluates several datasets in one test, each with a metric of its own, and averages."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import Evaluator

from mmclip.registry import EVALUATORS


@EVALUATORS.register_module()
class MultiDatasetEvaluator(Evaluator):
    """Gives each sample to the metric of the dataset whose folder holds its image.

    Results are ``<name>/bbox_AP``, ... for each dataset, and their ``mean/bbox_AP`` and
    ``median/bbox_AP`` (ODinW). A dataset in which nothing can be found (-1) does not count.

    Args:
        metrics: For each dataset the config of its metric.
        names: Of the datasets.
        folders: Of the datasets; each sample's ``img_path`` lies in one of them. Of folders within
            each other the innermost counts.

    Raises:
        ValueError: lists of different lengths, a name twice, an image in none of the folders.
    """

    def __init__(
        self, metrics: Sequence[dict], *, names: Sequence[str], folders: Sequence[str]
    ) -> None:
        super().__init__(list(metrics))
        if not len(metrics) == len(names) == len(folders) or len(set(names)) != len(names):
            raise ValueError(
                f'names: needed are as many different names and folders as metrics, got '
                f'{len(names)} names, {len(folders)} folders, {len(metrics)} metrics'
            )
        self.names = tuple(names)
        self.folders = tuple(os.path.join(os.path.abspath(folder), '') for folder in folders)

    @property
    def dataset_meta(self) -> dict | list | None:
        """Of all datasets; the metrics read their own annotation files instead."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | list | None) -> None:
        self._dataset_meta = dataset_meta

    def _metric_of(self, path: str) -> int:
        path = os.path.abspath(path)
        found = [i for i, folder in enumerate(self.folders) if path.startswith(folder)]
        if not found:
            raise ValueError(f'folders: image {path!r} lies in none of {self.folders}')
        return max(found, key=lambda i: len(self.folders[i]))

    def process(self, data_samples: Sequence, data_batch: Any | None = None) -> None:
        for sample in data_samples:
            sample = sample if isinstance(sample, Mapping) else sample.to_dict()
            self.metrics[self._metric_of(sample['img_path'])].process(data_batch, [sample])

    def evaluate(self, size: int) -> dict[str, float]:
        found: dict[str, float] = {}
        values: dict[str, list[float]] = {}
        for name, metric in zip(self.names, self.metrics, strict=True):
            for key, value in metric.evaluate(size).items():
                short = key.split('/')[-1]
                found[f'{name}/{short}'] = value
                values.setdefault(short, []).append(value)
        for key, numbers in values.items():
            defined = [number for number in numbers if number != -1]
            found[f'mean/{key}'] = float(np.mean(defined)) if defined else -1.0
            found[f'median/{key}'] = float(np.median(defined)) if defined else -1.0
        return found
