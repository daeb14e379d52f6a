"""The mask head of the official code."""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import FCNMaskHead
from mmdet.utils import reduce_mean

from mmclip.registry import MODELS


@MODELS.register_module()
class ViLDMaskHead(FCNMaskHead):
    """The host's mask head, class-agnostic, with a norm behind the deconvolution too.

    Source: ``mask_head`` of the official code.

    Args:
        args, kwargs: The host's; ``norm_cfg`` is used for all norms. ``class_agnostic`` is True
            unless given: novel classes have no masks in training.
        target_crop_size: Side of the crop that the official code keeps of each ground-truth mask
            and samples the targets from, see :func:`targets_from_crops`; None for the host's
            targets, cut from whole masks and rounded to 0 or 1.

    Shapes:
        (N, C, h, w) -> (N, 1, 2 h, 2 w) logits.
    """

    def __init__(
        self,
        *args: Any,
        class_agnostic: bool = True,
        target_crop_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, class_agnostic=class_agnostic, **kwargs)
        self.target_crop_size = target_crop_size
        self.with_upsample_norm = self.upsample_method == 'deconv' and self.norm_cfg is not None
        if self.with_upsample_norm:
            self.upsample_norm = build_norm_layer(self.norm_cfg, self.conv_out_channels)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) RoI features -> (N, 1, 2 h, 2 w) logits."""
        if not self.with_upsample_norm:
            return super().forward(x)
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(self.relu(self.upsample_norm(self.upsample(x))))

    def loss_and_target(self, mask_preds: torch.Tensor, *args: Any, **kwargs: Any) -> dict:
        """The host's loss, averaged over the positive regions of all processes.

        Args:
            mask_preds: (N, 1, h, w) logits of the positive regions.
            args, kwargs: The host's.
        """
        results = super().loss_and_target(mask_preds, *args, **kwargs)
        count = mask_preds.new_tensor(len(mask_preds))
        share = count / reduce_mean(count).clamp(min=1)
        results['loss_mask']['loss_mask'] = results['loss_mask']['loss_mask'] * share
        return results

    def get_targets(
        self, sampling_results: list, batch_gt_instances: list, rcnn_train_cfg: dict
    ) -> torch.Tensor:
        """Mask targets (N, size, size) of all positive regions of a batch.

        Args:
            sampling_results: Of each image.
            batch_gt_instances: With ``bboxes`` and ``masks``.
            rcnn_train_cfg: ``mask_size``.
        """
        if self.target_crop_size is None:
            return super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        size = rcnn_train_cfg['mask_size']
        targets = []
        for sampled, truth in zip(sampling_results, batch_gt_instances, strict=True):
            index, rois = sampled.pos_assigned_gt_inds, sampled.pos_priors
            boxes = sampled.pos_gt_bboxes
            if not len(index):
                targets.append(rois.new_zeros(0, size, size))
                continue
            crops = truth.masks.crop_and_resize(
                boxes.detach().cpu().numpy(),
                (self.target_crop_size, self.target_crop_size),
                index.cpu().numpy(),
                device=rois.device,
            )
            crops = torch.as_tensor(crops.to_ndarray()).to(rois)
            targets.append(targets_from_crops(crops, boxes, rois, size))
        return torch.cat(targets)


def targets_from_crops(
    crops: torch.Tensor, boxes: torch.Tensor, rois: torch.Tensor, size: int
) -> torch.Tensor:
    """Bilinear samples of masks that are cropped to their boxes, at the bin centers of RoIs.

    Bin center i of a RoI lies at (y1_roi - y1_box) H / h_box + (i + 0.5) H h_roi / (h_box size) on
    the crop's rows, whose first is at 0. Outside the crop the mask is 0. Targets are not rounded.

    Source: ``spatial_transform_ops.crop_mask_in_target_box`` of the official code.

    Args:
        crops: (N, H, W) masks in 0-1, one for each RoI.
        boxes: (N, 4) xyxy boxes that they were cropped to.
        rois: (N, 4) xyxy.
        size: Bins per side.

    Returns:
        (N, size, size).
    """
    sides = crops.new_tensor(crops.shape[:0:-1])  # W, H
    scale = sides / (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-8)  # (N, 2)
    start = (rois[:, :2] - boxes[:, :2]) * scale
    step = (rois[:, 2:] - rois[:, :2]) * scale / size
    centers = torch.arange(size, dtype=crops.dtype, device=crops.device) + 0.5
    points = start[:, None] + centers[:, None] * step[:, None]  # (N, size, 2)
    points = 2 * points / (sides - 1).clamp(min=1) - 1
    x = points[:, None, :, 0].expand(-1, size, -1)
    y = points[:, :, None, 1].expand(-1, -1, size)
    grid = torch.stack([x, y], -1)
    return F.grid_sample(crops[:, None], grid, mode='bilinear', align_corners=True)[:, 0]
