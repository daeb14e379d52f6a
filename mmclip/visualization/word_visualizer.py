"""The host's detection visualizer with words that can be read, also on small images."""

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmclip.registry import VISUALIZERS
from mmclip.visualization.word_boxes import FONT, draw_word_boxes, word_color


@VISUALIZERS.register_module()
class WordVisualizer(DetLocalVisualizer):
    """mmdet's ``DetLocalVisualizer`` with each box's word and score in a readable size.

    An image whose longer side is below ``min_size`` is enlarged by a whole factor first, with its
    boxes and masks (not if it comes with segmentation maps). Words are those of ``label_names`` of
    the instances or, without them, of ``dataset_meta['classes']``.

    Args:
        min_size: Pixels; 0 never enlarges.
        font: Path of a TrueType font for words that the default one (DejaVu Sans) cannot write.
        kwargs: The host's.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args,
        min_size: int = 512,
        font: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self.min_size = min_size
        self.font = font or FONT

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        *args,
        **kwargs,
    ) -> None:
        factor = max(1, round(self.min_size / max(image.shape[:2])))
        parts = () if data_sample is None else data_sample.values()
        if factor > 1 and all(isinstance(part, InstanceData) for part in parts):
            height, width = image.shape[:2]
            size = (factor * width, factor * height)
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
            data_sample = data_sample and enlarge(data_sample.cpu(), factor)
        super().add_datasample(name, image, data_sample, *args, **kwargs)

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if 'scores' in instances:
            instances = instances[torch.argsort(instances.scores, descending=True, stable=True)]
        labels = torch.as_tensor(instances.get('labels', [])).tolist()
        boxes = get_box_tensor(instances.bboxes).numpy() if 'bboxes' in instances else None
        masks = _mask_array(instances.masks) if 'masks' in instances else None
        if boxes is None or (masks is not None and len(boxes) and not boxes.any()):
            boxes = _boxes_of_masks(masks)  # models without boxes leave zeros
        words = instances.get('label_names') or [
            classes[label] if classes is not None else f'class {label}' for label in labels
        ]
        if 'scores' in instances:
            words = [f'{w} {s:.2f}' for w, s in zip(words, instances.scores.tolist(), strict=True)]
        drawn = draw_word_boxes(
            image,
            boxes,
            words,
            [word_color(label) for label in labels],
            masks=masks,
            font=self.font,
        )
        self.set_image(drawn)
        return drawn


def enlarge(sample: DetDataSample, factor: int) -> DetDataSample:
    """A copy of a data sample for an image ``factor`` times as large."""
    enlarged = DetDataSample(metainfo=sample.metainfo)
    for key, value in sample.items():
        if isinstance(value, InstanceData):
            value = InstanceData(metainfo=value.metainfo, **dict(value.items()))
            if 'bboxes' in value:
                value.bboxes = get_box_tensor(value.bboxes) * factor
            if 'masks' in value:
                masks = _mask_array(value.masks).repeat(factor, axis=1).repeat(factor, axis=2)
                value.masks = torch.from_numpy(masks)
        enlarged.set_field(value, key)
    return enlarged


def _mask_array(masks: object) -> np.ndarray:
    """Tensors and the host's mask classes as (N, H, W) booleans."""
    array = masks.cpu().numpy() if isinstance(masks, torch.Tensor) else masks.to_ndarray()
    return array.astype(bool)


def _boxes_of_masks(masks: np.ndarray | None) -> np.ndarray:
    boxes = np.zeros((0 if masks is None else len(masks), 4))
    for index in range(len(boxes)):
        rows, columns = np.nonzero(masks[index])
        if len(rows):
            boxes[index] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes
