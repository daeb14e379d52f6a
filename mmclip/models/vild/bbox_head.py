"""The box head of ViLD: a host's convolution and fc head that names regions by embeddings."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.losses import accuracy
from mmdet.models.roi_heads.bbox_heads.convfc_bbox_head import ConvFCBBoxHead
from mmdet.models.utils import empty_instances
from mmdet.structures.bbox import get_box_tensor, scale_boxes
from mmengine.structures import InstanceData

from mmclip.models.common.text_classifier import TextEmbeddingClassifier
from mmclip.models.vild.detections import Chunks, detections
from mmclip.models.vild.novel_classes import NovelMask
from mmclip.registry import MODELS


@MODELS.register_module()
class ViLDBBoxHead(ConvFCBBoxHead):
    """Names regions by the cosine between their projection and embedded class names.

    The classes are those of the classifier: ``set_classes`` changes their number and meaning
    without a change to any weight. Fits every host RoI head that takes a ``ConvFCBBoxHead``
    (Faster, Mask and Cascade R-CNN, ...).

    Source: ViLD, section 3.3 and figure 3; ``rcnn_head`` in the official code, where the background
    is column 0 (here the last).

    Args:
        classifier: Config of
            :class:`mmclip.models.common.text_classifier.TextEmbeddingClassifier`.
        novel_classes: A known vocabulary whose novel names, or a list of names, that never have
        boxes
            in training; None if there are none.
        novel_mask: What their logits become in the loss, see
            :class:`mmclip.models.vild.novel_classes.NovelMask`.
        class_chunk: With more classes than this, logits are never made for all of them at once in
            inference: memory is bounded by regions x ``class_chunk``.
        kwargs: The host's. ``loss_cls`` with ``use_sigmoid=True`` scores each class by itself.
            ``reg_class_agnostic`` is True unless given: novel classes have no box regressor.

    ``test_cfg`` knows, beside the host's entries, ``per_proposal=True``: every proposal in its
    order with its best class and score, without suppression, threshold or regression; and
    ``per_class``: at most so many regions of each class enter suppression.

    Raises:
        ValueError: as the classifier and the mask; more classes than ``class_chunk`` with a box
            regressor per class.
    """

    def __init__(
        self,
        *args: Any,
        classifier: dict[str, Any],
        novel_classes: str | Sequence[str] | None = None,
        novel_mask: str | None = 'exclude',
        class_chunk: int = 8192,
        reg_class_agnostic: bool = True,
        **kwargs: Any,
    ) -> None:
        built = MODELS.build(classifier)
        super().__init__(
            *args,
            num_classes=built.num_classes,
            reg_class_agnostic=reg_class_agnostic,
            cls_predictor_cfg=dict(
                type='mmclip.ProjectedTextClassifier', classifier=built, class_chunk=class_chunk
            ),
            **kwargs,
        )
        self.mask_novel = NovelMask(novel_classes, novel_mask)
        self.class_chunk = class_chunk
        if not reg_class_agnostic and self.num_classes > class_chunk:
            raise ValueError(
                f'class_chunk: {self.num_classes} classes with a box regressor for each do not fit '
                f'chunks of {class_chunk}; set reg_class_agnostic=True'
            )

    @property
    def classifier(self) -> TextEmbeddingClassifier:
        """The text classifier."""
        return self.fc_cls.classifier

    @property
    def class_names(self) -> tuple[str, ...]:
        """The present vocabulary."""
        return self.classifier.class_names

    @property
    def num_classes(self) -> int:
        """K, always that of the present vocabulary."""
        return self.classifier.num_classes

    @num_classes.setter
    def num_classes(self, value: int) -> None:
        """The host assigns the number once; the names have said it already."""

    @property
    def use_sigmoid(self) -> bool:
        """Whether each class is scored by itself."""
        return getattr(self.loss_cls, 'use_sigmoid', False)

    # -- loss -----------------------------------------------------------------------------------

    def loss(
        self,
        cls_score: torch.Tensor,
        bbox_pred: torch.Tensor | None,
        rois: torch.Tensor,
        labels: torch.Tensor,
        label_weights: torch.Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        """The host's losses, over the classes that training knows.

        Without a background column, softmax has no right answer for a background region: those are
        left out of the classification loss.

        Args:
            cls_score: (N, K + 1) or (N, K) logits.
            bbox_pred: (N, 4).
            rois: (N, 5).
            labels: (N,), K for background.
            label_weights: (N,).
            args, kwargs: Box targets and the reduction, the host's.

        Raises:
            ValueError: a region is labelled with a class that ``novel_mask`` leaves out.
        """
        if cls_score is not None and cls_score.numel():
            cls_score = self.mask_novel(cls_score, labels, self.class_names, self.use_sigmoid)
            if cls_score.shape[1] == self.num_classes and not self.use_sigmoid:
                cls_losses = self._loss_without_background(cls_score, labels, label_weights)
                box_losses = super().loss(
                    None, bbox_pred, rois, labels, label_weights, *args, **kwargs
                )
                return {**cls_losses, **box_losses}
        return super().loss(cls_score, bbox_pred, rois, labels, label_weights, *args, **kwargs)

    def _loss_without_background(
        self, logits: torch.Tensor, labels: torch.Tensor, label_weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        foreground = labels < self.num_classes
        logits, labels = logits[foreground], labels[foreground]
        if not len(labels):
            return dict(loss_cls=logits.sum())
        loss = self.loss_cls(
            logits, labels, label_weights[foreground], avg_factor=float(len(labels))
        )
        return dict(loss_cls=loss, acc=accuracy(logits, labels))

    # -- scores ---------------------------------------------------------------------------------

    def score_chunks(self, cls_score: torch.Tensor, discard_background: bool = False) -> Chunks:
        """What gives the scores of N regions, some classes at a time, as often as asked.

        Args:
            cls_score: What ``forward`` returned.
            discard_background: Softmax over the classes alone.

        Returns:
            A function that yields (first class, (N, k) scores in 0-1).
        """
        if not self.fc_cls.in_chunks:
            if self.use_sigmoid:
                scores = cls_score[:, : self.num_classes].sigmoid()
            elif discard_background:
                scores = cls_score[:, : self.num_classes].softmax(1)
            else:
                scores = cls_score.softmax(1)[:, : self.num_classes]
            return lambda: iter([(0, scores)])

        width = self.classifier.embed_dim
        normed, background = cls_score[:, :width], cls_score[:, width:]

        def logits() -> Iterator[tuple[int, torch.Tensor]]:
            for start in range(0, self.num_classes, self.class_chunk):
                chunk = slice(start, start + self.class_chunk)
                yield start, self.classifier.class_logits(normed, chunk)

        if self.use_sigmoid:
            return lambda: ((start, chunk.sigmoid()) for start, chunk in logits())
        parts = [chunk.logsumexp(1) for _, chunk in logits()]
        if not discard_background:
            parts += list(background.unbind(1))
        total = torch.stack(parts).logsumexp(0)[:, None]  # (N, 1) log of the partition sum
        return lambda: ((start, (chunk - total).exp()) for start, chunk in logits())

    # -- detections -----------------------------------------------------------------------------

    def _boxes(
        self, rois: torch.Tensor, bbox_pred: torch.Tensor | None, img_meta: dict, rescale: bool
    ) -> torch.Tensor:
        """(N, 5) rois -> boxes (N, 4), or (N, K, 4) with a regressor per class."""
        number, boxes = len(rois), rois[:, 1:]
        height, width = img_meta['img_shape'][:2]
        if bbox_pred is None:
            limits = boxes.new_tensor([width, height, width, height])
            boxes = boxes.clamp(min=0).minimum(limits)
        else:
            deltas = bbox_pred.reshape(-1, self.bbox_coder.encode_size)
            boxes = boxes.repeat_interleave(len(deltas) // number, dim=0)
            boxes = self.bbox_coder.decode(boxes, deltas, max_shape=(height, width))
        if rescale:
            boxes = scale_boxes(boxes, [1 / s for s in img_meta['scale_factor']])
        boxes = get_box_tensor(boxes)
        return boxes if len(boxes) == number else boxes.reshape(number, -1, boxes.shape[-1])

    def _predict_by_feat_single(
        self,
        roi: torch.Tensor,
        cls_score: torch.Tensor,
        bbox_pred: torch.Tensor | None,
        img_meta: dict,
        rescale: bool = False,
        rcnn_test_cfg: dict | None = None,
    ) -> InstanceData:
        """Detections of one picture: the host's, found through the best candidates first.

        Args:
            roi: (N, 5).
            cls_score: What ``forward`` returned for them.
            bbox_pred: (N, 4), (N, 4 K) or None.
            img_meta: ``img_shape``, and ``scale_factor`` if ``rescale``.
            rescale: Whether boxes are wanted in pixels of the original picture.
            rcnn_test_cfg: ``score_thr``, ``nms``, ``max_per_img``, ``per_proposal``, ``per_class``,
                ``discard_background``; None for all boxes and scores (N, K + 1), for test-time
                augmentation.
        """
        if not len(roi):
            return empty_instances(
                [img_meta],
                roi.device,
                task_type='bbox',
                box_type=self.predict_box_type,
                num_classes=self.num_classes,
                score_per_cls=rcnn_test_cfg is None,
            )[0]
        cfg = rcnn_test_cfg or {}
        chunks = self.score_chunks(cls_score, cfg.get('discard_background', False))
        results = InstanceData()
        if cfg.get('per_proposal', False):
            results.bboxes = self._boxes(roi, None, img_meta, rescale)
            results.scores, results.labels = _best_class(chunks)
            return results
        boxes = self._boxes(roi, bbox_pred, img_meta, rescale)
        if rcnn_test_cfg is None:
            scores = torch.cat([chunk for _, chunk in chunks()], 1)
            results.bboxes = boxes.flatten(1)
            results.scores = F.pad(scores, (0, 1))  # the host's background column, never read
            return results
        results.bboxes, results.scores, results.labels, _ = detections(
            boxes,
            chunks,
            num_classes=self.num_classes,
            nms_cfg=cfg['nms'],
            max_per_img=cfg['max_per_img'],
            score_thr=cfg['score_thr'],
            per_class=cfg.get('per_class'),
        )
        return results


def _best_class(chunks: Chunks) -> tuple[torch.Tensor, torch.Tensor]:
    """Highest score of each region and its class: (N,), (N,)."""
    best = label = None
    for start, scores in chunks():
        value, index = scores.max(1)
        index = index + start
        if best is not None:
            index = torch.where(value > best, index, label)
            value = torch.maximum(value, best)
        best, label = value, index
    return best, label
