"""The box head of ViLD: a host's convolution and fc head that names regions by embeddings."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.models.losses import accuracy
from mmdet.models.roi_heads.bbox_heads.convfc_bbox_head import ConvFCBBoxHead
from mmdet.models.utils import empty_instances
from mmdet.structures.bbox import get_box_tensor, scale_boxes
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import nn

from mmclip.models.vild.detections import Chunks, best_class, detections
from mmclip.models.vild.layers import single_row_norms
from mmclip.models.vild.novel_classes import NovelMask
from mmclip.models.vild.scores import (
    LogitChunks,
    ensemble_scores,
    logit_chunks,
    sigmoid_scores,
    softmax_scores,
)
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import TextEmbeddingClassifier

IGNORED = -100  # the label that the host's losses leave out
INIT_CFG = [
    dict(type='Xavier', layer='Linear', distribution='uniform'),
    dict(type='Normal', std=0.01, override=dict(name='fc_cls')),
    dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
]


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
            :class:`mmclip.vocabulary.classifier.TextEmbeddingClassifier`.
        novel_classes: Which classes never have boxes in training: ``'dataset'`` for those that the
            dataset calls novel, a list of names, a known vocabulary for its novel names, or None
            if there are none.
        novel_mask: What their logits become in the loss, see
            :class:`mmclip.models.vild.novel_classes.NovelMask`.
        class_chunk: With more classes than this, logits are never made for all of them at once in
            inference: memory is bounded by regions x ``class_chunk``.
        kwargs: The host's. ``loss_cls`` with ``use_sigmoid=True`` scores each class by itself.
            ``reg_class_agnostic`` is True unless given: novel classes have no box regressor.
        fc_norm_cfg: Norm behind each shared dense layer; None for none.
        image_branch: A trunk and projection of its own for distillation (ViLD-ensemble).
        with_cls_loss: Whether class names are learned at all (not in ViLD-image).
        official_padding: In TensorFlow's cross entropy, a padded region (label -1) has the loss 0
            but the gradient of the logarithm of its partition sum. True repeats that.
        box_average: The box loss is averaged over all ``'sampled'`` regions (the host's way) or
            over the coordinates of the ``'positive'`` ones (the official one).

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
        novel_classes: str | Sequence[str] | None = 'dataset',
        novel_mask: str | None = 'exclude',
        class_chunk: int = 8192,
        reg_class_agnostic: bool = True,
        fc_norm_cfg: dict | None = None,
        image_branch: bool = False,
        with_cls_loss: bool = True,
        box_average: str = 'sampled',
        official_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        if box_average not in ('sampled', 'positive'):
            raise ValueError(f"box_average: {box_average!r} is neither 'sampled' nor 'positive'")
        self.fc_norm_cfg = fc_norm_cfg
        built = MODELS.build(classifier)
        super().__init__(
            *args,
            num_classes=built.num_classes,
            reg_class_agnostic=reg_class_agnostic,
            cls_predictor_cfg=dict(
                type='mmclip.ProjectedTextClassifier', classifier=built, class_chunk=class_chunk
            ),
            **dict(init_cfg=INIT_CFG) | kwargs,
        )
        self.image_branch = image_branch
        if image_branch:
            self.image_convs, self.image_fcs, width = self._add_conv_fc_branch(
                self.num_shared_convs, self.num_shared_fcs, self.in_channels, True
            )
            if not self.num_shared_fcs:
                width *= self.roi_feat_area
            self.image_projection = nn.Linear(width, built.embed_dim)
        self.with_cls_loss = with_cls_loss
        self.box_average = box_average
        self.official_padding = official_padding
        self.mask_novel = NovelMask(novel_classes, novel_mask)
        self.class_chunk = class_chunk
        if not reg_class_agnostic and not self.num_classes:
            raise ValueError(
                'classifier: a box regressor for each class needs the classes when the head is '
                'built; give classifier.classes a list of names, or set reg_class_agnostic=True'
            )
        if not reg_class_agnostic and self.num_classes > class_chunk:
            raise ValueError(
                f'class_chunk: {self.num_classes} classes with a box regressor for each do not fit '
                f'chunks of {class_chunk}; set reg_class_agnostic=True'
            )

    def _add_conv_fc_branch(self, *args: Any, **kwargs: Any) -> tuple[nn.Module, nn.Module, int]:
        """The host's branch, with norms behind its dense layers."""
        convs, fcs, width = super()._add_conv_fc_branch(*args, **kwargs)
        if self.fc_norm_cfg is not None:
            fcs = nn.ModuleList(
                nn.Sequential(fc, build_norm_layer(self.fc_norm_cfg, fc.out_features)[1])
                for fc in fcs
            )
        return convs, fcs, width

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

    # -- forward --------------------------------------------------------------------------------

    def embed(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """RoI features (N, C, h, w) -> embeddings (N, D), not normalized, and box deltas (N, 4)."""
        with single_row_norms(self, len(x)):
            return super().forward(x)

    def embed_image(self, x: torch.Tensor) -> torch.Tensor:
        """RoI features (N, C, h, w) -> embeddings (N, D) of the image branch, not normalized."""
        with single_row_norms(self, len(x)):
            for conv in self.image_convs:
                x = conv(x)
            x = x.flatten(1)
            for fc in self.image_fcs:
                x = self.relu(fc(x))
            return self.image_projection(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """RoI features to class logits and box deltas.

        With an image branch, and not in training, the logits of both branches side by side; in that
        form or with more than ``class_chunk`` classes ``score_chunks`` reads them.

        Shapes:
            x: (N, C, h, w).
            returns: (N, K + 1), or (N, K) without background; with an image branch (N, 2 K + 1). In
                chunks D in the place of K, see :meth:`ProjectedTextClassifier.logits`. Deltas
                (N, 4).
        """
        embeddings, deltas = self.embed(x)
        logits = self.fc_cls.logits(embeddings)
        if self.training or not self.image_branch:
            return logits, deltas
        image = F.normalize(self.embed_image(x).float(), dim=-1)
        if not self.fc_cls.in_chunks:
            image = self.classifier.class_logits(image)
        return torch.cat([image, logits], 1), deltas

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
        """The host's losses, over the classes that training knows, averaged over all processes.

        Without a background column, softmax has no right answer for a background region: those are
        left out of the classification loss.

        Args:
            cls_score: (N, K + 1) or (N, K) logits.
            bbox_pred: (N, 4).
            rois: (N, 5).
            labels: (N,), K for background, -1 for padding (no loss, but counted in the mean).
            label_weights: (N,).
            args, kwargs: Box targets and the reduction, the host's.

        Raises:
            ValueError: a region is labeled with a class that ``novel_mask`` leaves out.
        """
        if not self.with_cls_loss:
            losses = super().loss(None, bbox_pred, rois, labels, label_weights, *args, **kwargs)
        else:
            logits = self.mask_novel(cls_score, labels, self.class_names, self.use_sigmoid)
            counted = label_weights > 0
            if logits.shape[1] == self.num_classes and not self.use_sigmoid:
                counted = counted & (labels < self.num_classes)
            targets = labels.where(counted & (labels >= 0), IGNORED)
            losses = super().loss(None, bbox_pred, rois, labels, label_weights, *args, **kwargs)
            average = reduce_mean(counted.sum().float()).clamp(min=1)
            losses['loss_cls'] = self.loss_cls(logits, targets, label_weights, avg_factor=average)
            if self.official_padding:
                partition = logits[labels < 0].logsumexp(1)
                zero = (partition - partition.detach()).sum() / average
                losses['loss_cls'] = losses['loss_cls'] + zero
            if len(labels):
                losses['acc'] = accuracy(logits, labels)
        if 'loss_bbox' in losses:
            # The host has divided by its number of regions.
            positive = (labels >= 0) & (labels < self.num_classes)
            average = labels.new_tensor(len(labels), dtype=torch.float)
            if self.box_average == 'positive':
                average = 4.0 * positive.sum()
            scale = len(labels) / reduce_mean(average).clamp(min=1)
            losses['loss_bbox'] = losses['loss_bbox'] * scale
        return losses

    # -- scores ---------------------------------------------------------------------------------

    def score_chunks(self, cls_score: torch.Tensor, cfg: dict | None = None) -> Chunks:
        """What gives the scores of N regions, some classes at a time, as often as asked.

        Args:
            cls_score: What ``forward`` returned, not in training.
            cfg: ``discard_background``, ``ensemble`` (see :meth:`image_share`) and ``temperature``
                of ``test_cfg``; the last one takes the place of the classifier's, to sharpen the
                scores in testing (DetPro: 0.007).

        Returns:
            A function that yields (first class, (N, k) scores in 0-1).
        """
        cfg = cfg or {}
        sharper = self.classifier.temperature / (
            cfg.get('temperature') or self.classifier.temperature
        )
        width = self.classifier.embed_dim if self.fc_cls.in_chunks else self.num_classes

        def chunks(part: torch.Tensor) -> LogitChunks:
            if self.fc_cls.in_chunks:
                return logit_chunks(self.classifier, part, self.class_chunk)
            return lambda: iter([(0, part)])

        image = None
        if self.image_branch:
            image, cls_score = chunks(sharper * cls_score[:, :width]), cls_score[:, width:]
        text, background = chunks(sharper * cls_score[:, :width]), sharper * cls_score[:, width:]
        if cfg.get('discard_background', False):
            background = None
        if image is not None:
            share = self.image_share(cfg.get('ensemble') or {}, cls_score.device)
            return ensemble_scores(text, image, background, share)
        if self.use_sigmoid:
            return sigmoid_scores(text)
        return softmax_scores(text, background)

    def image_share(self, cfg: dict, device: torch.device | str = 'cpu') -> torch.Tensor:
        """(K,) exponent of the image branch for each class.

        Args:
            cfg: ``base`` and ``novel``: the share for base and novel classes (1/3 and 2/3 unless
                given). ``fixed``: one share for all, for a dataset that has no base classes.
            device: Where the result shall be.
        """
        novel = self.mask_novel.rows(self.class_names, device)
        if cfg.get('fixed') is not None:
            return torch.full(novel.shape, float(cfg['fixed']), device=device)
        base, other = float(cfg.get('base', 1 / 3)), float(cfg.get('novel', 2 / 3))
        return torch.where(novel, other, base)

    # -- detections -----------------------------------------------------------------------------

    def boxes_of(
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
        """Detections of one image: the host's, found through the best candidates first.

        Args:
            roi: (N, 5).
            cls_score: What ``forward`` returned for them.
            bbox_pred: (N, 4), (N, 4 K) or None.
            img_meta: ``img_shape``, and ``scale_factor`` if ``rescale``.
            rescale: Whether boxes are wanted in pixels of the original image.
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
        chunks = self.score_chunks(cls_score, cfg)
        if cfg.get('per_proposal', False):
            bbox_pred = None
        boxes = self.boxes_of(roi, bbox_pred, img_meta, rescale)
        return self.results_of(boxes, chunks, rcnn_test_cfg)

    def results_of(
        self, boxes: torch.Tensor, chunks: Chunks, rcnn_test_cfg: dict | None
    ) -> InstanceData:
        """Detections from boxes and scores, see :meth:`_predict_by_feat_single`.

        Args:
            boxes: (N, 4), or (N, K, 4) with a regressor per class.
            chunks: Scores of the N regions.
            rcnn_test_cfg: As there.
        """
        results = InstanceData()
        if rcnn_test_cfg is None:
            scores = torch.cat([chunk for _, chunk in chunks()], 1)
            results.bboxes = boxes.flatten(1)
            results.scores = F.pad(scores, (0, 1))  # the host's background column, never read
        elif rcnn_test_cfg.get('per_proposal', False):
            results.bboxes = boxes
            results.scores, results.labels = best_class(chunks)
        else:
            results.bboxes, results.scores, results.labels, _ = detections(
                boxes,
                chunks,
                num_classes=self.num_classes,
                nms_cfg=rcnn_test_cfg['nms'],
                max_per_img=rcnn_test_cfg['max_per_img'],
                score_thr=rcnn_test_cfg['score_thr'],
                per_class=rcnn_test_cfg.get('per_class'),
            )
        return results
