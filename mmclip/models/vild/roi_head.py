"""RoI heads that send the teacher's regions through the box head, next to the sampled ones."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads.cascade_roi_head import CascadeRoIHead
from mmdet.models.roi_heads.standard_roi_head import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from torch import nn

from mmclip.registry import MODELS

Regions = tuple[torch.Tensor, torch.Tensor]  # RoIs (M, 5), embeddings (M, D)


def teacher_regions(batch_data_samples: Sequence[Any]) -> Regions:
    """The valid regions of a batch: RoIs (M, 5) and the teacher's embeddings (M, D).

    Raises:
        ValueError: the samples carry none.
    """
    if any('distill_instances' not in sample for sample in batch_data_samples):
        raise ValueError(
            'distill_instances: a sample has no teacher regions; put mmclip.LoadTeacherEmbeddings '
            'and mmclip.PackTeacherRegions at the end of the training pipeline (the store is made '
            'by tools/precompute_regions.py), or set roi_head.loss_distill=None'
        )
    valid = [sample.distill_instances for sample in batch_data_samples]
    valid = [regions[regions.valid] for regions in valid]
    rois = bbox2roi([regions.bboxes for regions in valid])
    return rois, torch.cat([regions.embeddings for regions in valid])


def run_head(
    bbox_head: nn.Module,
    extractor: nn.Module,
    loss_distill: nn.Module,
    x: tuple[torch.Tensor, ...],
    rois: torch.Tensor,
    regions: Regions,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Sampled and distilled regions in one RoI batch.

    With one trunk its batch norms see both, as in the official code; with an image branch each
    trunk sees its own.

    Returns:
        What the host's ``_bbox_forward`` returns for the N sampled regions, and the loss.
    """
    count, (region_rois, teacher) = len(rois), regions
    feats = extractor(x[: extractor.num_inputs], torch.cat([rois, region_rois]))
    if bbox_head.image_branch:
        cls_score, bbox_pred = bbox_head(feats[:count])
        student = bbox_head.embed_image(feats[count:])
    else:
        embeddings, bbox_pred = bbox_head.embed(feats)
        cls_score = bbox_head.fc_cls.logits(embeddings[:count])
        student, bbox_pred = embeddings[count:], bbox_pred[:count]
    valid = torch.ones(len(teacher), dtype=torch.bool, device=teacher.device)
    results = dict(cls_score=cls_score, bbox_pred=bbox_pred, bbox_feats=feats[:count])
    return results, loss_distill(student, teacher, valid)


@MODELS.register_module()
class ViLDRoIHead(StandardRoIHead):
    """The host's RoI head with distillation.

    Source: ViLD, section 3.2 and figure 3.

    Args:
        loss_distill: Config of a loss such as
            :class:`mmclip.models.vild.distill_loss.L1DistillLoss`; None for no distillation.
        kwargs: The host's; ``bbox_head`` is :class:`mmclip.models.vild.bbox_head.ViLDBBoxHead`.
    """

    def __init__(self, *, loss_distill: dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss_distill = None if loss_distill is None else MODELS.build(loss_distill)
        self._regions: Regions | None = None

    def loss(self, x: tuple, rpn_results_list: list, batch_data_samples: list) -> dict:
        """The host's losses and ``loss_distill``.

        Args:
            x: L maps (B, C, H_l, W_l).
            rpn_results_list: Proposals of each image.
            batch_data_samples: With ``gt_instances`` and ``distill_instances``.

        Raises:
            ValueError: as :func:`teacher_regions`.
        """
        if self.loss_distill is not None:
            self._regions = teacher_regions(batch_data_samples)
        try:
            return super().loss(x, rpn_results_list, batch_data_samples)
        finally:
            self._regions = None

    def bbox_loss(self, x: tuple, sampling_results: list) -> dict:
        """Losses of the box head."""
        if self._regions is None:
            return super().bbox_loss(x, sampling_results)
        rois = bbox2roi([result.priors for result in sampling_results])
        results, loss = run_head(
            self.bbox_head, self.bbox_roi_extractor, self.loss_distill, x, rois, self._regions
        )
        losses = self.bbox_head.loss_and_target(
            cls_score=results['cls_score'],
            bbox_pred=results['bbox_pred'],
            rois=rois,
            sampling_results=sampling_results,
            rcnn_train_cfg=self.train_cfg,
        )['loss_bbox']
        return results | dict(loss_bbox=losses | dict(loss_distill=loss))


@MODELS.register_module()
class ViLDCascadeRoIHead(CascadeRoIHead):
    """The host's cascade with distillation in every stage, weighted as the stage is.

    Args:
        loss_distill: As :class:`ViLDRoIHead`.
        kwargs: The host's.
    """

    def __init__(self, *, loss_distill: dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss_distill = None if loss_distill is None else MODELS.build(loss_distill)
        self._regions: Regions | None = None

    def loss(self, x: tuple, rpn_results_list: list, batch_data_samples: list) -> dict:
        """As :meth:`ViLDRoIHead.loss`; the names begin with the stage, ``s0.loss_distill``."""
        if self.loss_distill is not None:
            self._regions = teacher_regions(batch_data_samples)
        try:
            return super().loss(x, rpn_results_list, batch_data_samples)
        finally:
            self._regions = None

    def bbox_loss(self, stage: int, x: tuple, sampling_results: list) -> dict:
        """Losses of one stage."""
        if self._regions is None:
            return super().bbox_loss(stage, x, sampling_results)
        rois = bbox2roi([result.priors for result in sampling_results])
        results, loss = run_head(
            self.bbox_head[stage],
            self.bbox_roi_extractor[stage],
            self.loss_distill,
            x,
            rois,
            self._regions,
        )
        more = self.bbox_head[stage].loss_and_target(
            cls_score=results['cls_score'],
            bbox_pred=results['bbox_pred'],
            rois=rois,
            sampling_results=sampling_results,
            rcnn_train_cfg=self.train_cfg[stage],
        )
        more['loss_bbox']['loss_distill'] = loss
        return results | dict(rois=rois) | more
