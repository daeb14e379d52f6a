"""What ``tools/test.py --out FOLDER`` adds for segmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS


@METRICS.register_module()
class SegMapDump(BaseMetric):
    """Writes each predicted map as a PNG of class numbers; measures nothing.

    8 bits per pixel for up to 256 classes, else 16: mmseg's ``IoUMetric`` has 8 only. With
    ``reduce_zero_label`` the numbers are those of the annotation files, one higher.

    Args:
        output_dir: Folder of the maps, made if missing.
    """

    def __init__(self, *, output_dir: str) -> None:
        super().__init__()
        self.output_dir = Path(output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            lift = int(bool(sample.get('reduce_zero_label')))
            labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy() + lift
            few = len(self.dataset_meta['classes']) + lift <= 256
            path = self.output_dir / f'{Path(sample["img_path"]).stem}.png'
            _, content = cv2.imencode('.png', labels.astype(np.uint8 if few else np.uint16))
            path.write_bytes(content.tobytes())  # unlike `imwrite` it raises where a disk is full

    def evaluate(self, size: int) -> dict:
        return {}

    def compute_metrics(self, results: list) -> dict:
        return {}
