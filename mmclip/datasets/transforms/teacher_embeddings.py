"""Regions with the teacher's embeddings, moved along with the image."""

import os

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmclip.registry import TRANSFORMS
from mmclip.stores.regions import RegionStore

# Transforms of mmdet that move pixels without saying so in ``homography_matrix``.
UNTRACKED = (
    'Albu',
    'CachedMixUp',
    'CachedMosaic',
    'CopyPaste',
    'Expand',
    'MinIoURandomCrop',
    'MixUp',
    'Mosaic',
    'RandomCenterCropPad',
    'RandomShift',
)


def move_boxes(
    boxes: torch.Tensor,
    homography: np.ndarray | None,
    img_shape: tuple[int, int],
    *,
    official: bool = False,
) -> torch.Tensor:
    """Boxes of the original image where they lie in the augmented one, cut at its border.

    Args:
        boxes: (M, 4) xyxy.
        homography: (3, 3) from original to augmented pixels, None if nothing moved.
        img_shape: Height and width of the augmented image.
        official: Cut at W - 1 and H - 1, as the official code does, instead of W and H.
    """
    if homography is not None and len(boxes):
        moved = HorizontalBoxes(boxes.double())
        moved.project_(np.asarray(homography, dtype=np.float64))
        boxes = moved.tensor.to(boxes.dtype)
    height, width = img_shape
    border = boxes.new_tensor([width, height, width, height]) - (1 if official else 0)
    return boxes.clamp(min=0).minimum(border)


def valid_boxes(boxes: torch.Tensor, *, official: bool = False) -> torch.Tensor:
    """(M,) bool: which boxes (M, 4) are still in the image.

    Width and height above 0. The official code asks for a largest coordinate above 0, so a box that
    was cropped away on the right or below still counts; ``official=True`` gives that.
    """
    if official:
        return (boxes > 0).any(dim=1)
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


@TRANSFORMS.register_module()
class LoadTeacherEmbeddings(BaseTransform):
    """Sets ``distill_boxes`` (M, 4), ``distill_embeddings`` (M, D) and ``distill_valid`` (M,).

    Place it after all transforms that move pixels, before ``mmclip.PackTeacherRegions``. The boxes
    are those of the store, moved by ``homography_matrix``, in which mmdet's resizes, flips, crops,
    affine and other geometric transforms note what they did; so the boxes go exactly where the
    image went, whatever happens to the ground truth. Transforms that do not note it (``Mosaic``,
    ``Expand``, ``RandomShift``, ...) must not be in the pipeline.

    A region that was cropped away stays, with ``distill_valid`` False. Of one that is cut, the
    embedding remains that of the whole region.

    Source: ViLD, section 3.2; the official parser (which flips image and ground truth once more
    without these boxes, an error that is not repeated).

    Args:
        store: Folder made by ``tools/precompute_regions.py``.
        max_regions: The best so many of an image's.
        model: Name of the CLIP that must have made the store; None takes any.
        official_mask: The official code's border and test of validity, see :func:`valid_boxes`.

    Raises:
        FileNotFoundError: there is no finished store.
        ValueError: another teacher made it; an image is not in it.
    """

    def __init__(
        self,
        *,
        store: str | os.PathLike,
        max_regions: int = 300,
        model: str | None = None,
        official_mask: bool = False,
    ) -> None:
        if max_regions < 1:
            raise ValueError(f'max_regions: expected at least 1, got {max_regions}')
        self.store = RegionStore(store)
        self.store.check_teacher(model=model)
        self.max_regions = max_regions
        self.official_mask = official_mask

    def transform(self, results: dict) -> dict:
        """Needs ``img_id`` and ``img_shape``."""
        regions = self.store.load(results['img_id'])
        boxes = move_boxes(
            regions.boxes[: self.max_regions],
            results.get('homography_matrix'),
            results['img_shape'][:2],
            official=self.official_mask,
        )
        results['distill_boxes'] = boxes
        results['distill_valid'] = valid_boxes(boxes, official=self.official_mask)
        # Half precision leaves the norm off by up to 1e-3.
        embeddings = regions.embeddings[: self.max_regions].float()
        results['distill_embeddings'] = F.normalize(embeddings, dim=1)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(store={str(self.store.folder)!r})'


@TRANSFORMS.register_module()
class PackTeacherRegions(PackDetInputs):
    """mmdet's packing, and ``data_sample.distill_instances`` with bboxes, embeddings and valid.

    Raises:
        ValueError: ``mmclip.LoadTeacherEmbeddings`` is not before it.
    """

    def transform(self, results: dict) -> dict:
        if 'distill_boxes' not in results:
            raise ValueError(
                'mmclip.PackTeacherRegions found no distill_boxes: put '
                'mmclip.LoadTeacherEmbeddings before it'
            )
        packed = super().transform(results)
        packed['data_samples'].distill_instances = InstanceData(
            bboxes=results['distill_boxes'],
            embeddings=results['distill_embeddings'],
            valid=results['distill_valid'],
        )
        return packed
