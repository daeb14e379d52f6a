"""Ground-truth boxes as proposals: what a model calls an object when it is told where it is."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import get_box_tensor

from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ProposalsFromGT(BaseTransform):
    """Sets ``proposals`` to the ground-truth boxes and ``proposals_scores`` to ones.

    A two-stage mmdet detector then skips its RPN and classifies exactly these boxes, in order.
    Place it last before ``mmdet.PackDetInputs``, and load the annotations before any transform
    that moves pixels (mmdet's own test pipelines load them after resizing, which leaves the boxes
    unscaled). Boxes to be ignored (crowds) are left out, as the packing leaves them out of
    ``gt_instances``.

    Raises:
        ValueError: If no annotations were loaded.
    """

    def transform(self, results: dict) -> dict:
        if 'gt_bboxes' not in results:
            raise ValueError(
                'mmclip.ProposalsFromGT found no gt_bboxes: put '
                'mmdet.LoadAnnotations(with_bbox=True) before it'
            )
        boxes = np.asarray(get_box_tensor(results['gt_bboxes']), dtype=np.float32).reshape(-1, 4)
        if 'gt_ignore_flags' in results:
            boxes = boxes[~np.asarray(results['gt_ignore_flags'], dtype=bool)]
        results['proposals'] = boxes
        results['proposals_scores'] = np.ones(len(boxes), dtype=np.float32)
        return results
