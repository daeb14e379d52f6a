"""Detections of several scales and mirror images of an image, merged."""

from collections.abc import Sequence

from mmdet.models import DetTTAModel
from mmdet.structures import DetDataSample

from mmclip.registry import MODELS


@MODELS.register_module()
class ScaleRangeTTA(DetTTAModel):
    """mmdet's merging, where each scale of the image answers for objects of some sizes only.

    Source: GLIP's official ``im_detect_bbox_aug``.

    Args:
        ranges: Of each scale, in the order of the ``tta_pipeline``, the least and the greatest
            square root of a box's area, in pixels of the resized image, both excluded.
        tta_cfg: ``nms`` (per label, of all views together) and ``max_per_img``.
        module: The detector. Its own suppression comes first: ``test_cfg.nms_iou=1.0`` and
            ``max_per_img=-1`` leave the choice to ``nms``, as in the official code.

    Raises:
        ValueError: a range that holds nothing; views that are no multiple of the ranges.
    """

    def __init__(self, *, ranges: Sequence[tuple[float, float]], **kwargs) -> None:
        super().__init__(**kwargs)
        self.ranges = [tuple(pair) for pair in ranges]
        for pair in self.ranges:
            if len(pair) != 2 or not 0 <= pair[0] < pair[1]:
                raise ValueError(f'ranges: {pair}; expected (least, greatest) of a scale')

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        flips, rest = divmod(len(data_samples), max(len(self.ranges), 1))
        if rest or not flips:
            raise ValueError(
                f'ranges: {len(self.ranges)}, but {len(data_samples)} views of an image; the '
                'tta_pipeline must have as many scales'
            )
        for view, sample in enumerate(data_samples):
            least, greatest = self.ranges[view // flips]
            found = sample.pred_instances
            width, height = (found.bboxes[:, 2:] - found.bboxes[:, :2]).unbind(1)
            across, down = sample.scale_factor
            area = width * across * height * down
            sample.pred_instances = found[(area > least**2) & (area < greatest**2)]
        return super()._merge_single_sample(data_samples)
