"""GLIP's head: boxes, centerness and one logit per token."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.cnn import Scale
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import nn

from mmclip.models.glip.fusion import to_positions
from mmclip.models.glip.post_process import candidates, merge, non_maximum, phrase_scores
from mmclip.models.glip.targets import AnchorTargets, anchor_targets, token_targets
from mmclip.registry import MODELS, TASK_UTILS

Projected = tuple[torch.Tensor, torch.Tensor]


class Boxes(NamedTuple):
    """What the head says about places, whatever the words.

    Shapes:
        features (B, N, C) of all levels' places, deltas (B, N, 4), centerness (B, N) logits,
        anchors: of each level, (N_l, 4).
    """

    features: torch.Tensor
    deltas: torch.Tensor
    centerness: torch.Tensor
    anchors: list[torch.Tensor]

    @property
    def sizes(self) -> list[int]:
        return [len(level) for level in self.anchors]


@MODELS.register_module()
class GLIPHead(BaseModule):
    """Box, centerness and token logits at every place, trained with ATSS.

    Inside, boxes follow the official code's convention: their last pixel belongs to them
    (width = x2 - x1 + 1). Objects come in and detections leave in the host's (x2 exclusive).

    Source: GLIP section 3; official ``VLDyHead``, ``ATSSLossComputation``, ``ATSSPostProcessor``.

    Args:
        channels: C of the maps.
        text_dim: C_l of the words; :class:`mmclip.models.glip.detector.GLIPDetector` fills it in.
        fused_text: Compare with the words that went through the fusion (``hidden``), else with
            those that came in (``embedded``).
        alignment: Config of the token logits, from which scores are made.
        contrast: Config of other token logits beside them, which are only trained, by
            ``loss_contrast``; None for none.
        anchor_generator: The host's, one anchor per place.
        bbox_coder, assigner, loss_token, loss_bbox, loss_centerness, loss_contrast: Configs.
        no_object: Objectless anchors point at the last token, as in the official code (and as the
            loss version 'softmax' needs).
        train_cfg, test_cfg: ``test_cfg``: ``score_thr`` (of a phrase, before centerness),
            ``nms_pre`` (per level), ``nms_iou``, ``max_per_img`` (per caption), ``score_agg``
            (MEAN, MAX, POWER, ONEHOT), ``inclusive`` (True leaves detections in the official
            convention).

    Shapes:
        L maps (B, C, H_l, W_l), text entries (B, T, C_l).

    Raises:
        ValueError: no ``text_dim``; ``loss_contrast`` without ``contrast``; the loss version
            'softmax' without ``no_object``.
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        text_dim: int | None = None,
        fused_text: bool = True,
        alignment: dict | None = None,
        contrast: dict | None = None,
        anchor_generator: dict | None = None,
        bbox_coder: dict | None = None,
        assigner: dict | None = None,
        loss_token: dict | None = None,
        loss_bbox: dict | None = None,
        loss_centerness: dict | None = None,
        loss_contrast: dict | None = None,
        no_object: bool = False,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if text_dim is None:
            raise ValueError('text_dim: the width of the words is needed')
        if loss_contrast is not None and contrast is None:
            raise ValueError('loss_contrast: there are no logits for it; set contrast as well')
        self.train_cfg = dict(train_cfg or {})
        self.test_cfg = DEFAULT_TEST | dict(test_cfg or {})
        self.fused_text, self.no_object = fused_text, no_object
        self.anchor_generator = TASK_UTILS.build(anchor_generator or ANCHORS)
        self.bbox_coder = TASK_UTILS.build(bbox_coder or CODER)
        self.assigner = TASK_UTILS.build(assigner or ASSIGNER)
        self.loss_token = MODELS.build(loss_token or dict(type='mmclip.TokenFocalLoss'))
        if getattr(self.loss_token, 'version', None) == 'softmax' and not no_object:
            raise ValueError(
                "no_object: False; the loss version 'softmax' needs True, else places without an "
                'object have no target and learn nothing'
            )
        self.loss_bbox = MODELS.build(loss_bbox or dict(type='mmdet.GIoULoss', loss_weight=2.0))
        self.loss_centerness = MODELS.build(loss_centerness or CENTERNESS)
        self.reg = nn.Conv2d(channels, 4, 1)
        self.centerness = nn.Conv2d(channels, 1, 1)
        for conv in (self.reg, self.centerness):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)
        # Of one element, not scalars, which FSDP does not take.
        self.scales = nn.ModuleList(Scale([1.0]) for _ in self.anchor_generator.strides)
        alignment = dict(alignment or dict(type='mmclip.TokenAlignment'))
        dims = dict(channels=channels, text_dim=text_dim)
        self.alignment = MODELS.build(alignment | dims)
        self.contrast = None
        if contrast is not None:
            self.contrast = MODELS.build(dict(contrast) | dims)
            loss = loss_contrast or dict(type='mmclip.ContrastiveTokenLoss')
            self.loss_contrast = MODELS.build(loss)

    # -- forward --------------------------------------------------------------------------------

    def forward_boxes(self, features: Sequence[torch.Tensor]) -> Boxes:
        """Boxes and centerness of all places, level after level, rows first."""
        deltas = [s(self.reg(x)) for x, s in zip(features, self.scales, strict=True)]
        centerness = to_positions([self.centerness(level) for level in features])
        anchors = self.anchor_generator.grid_priors(
            [level.shape[2:] for level in features], device=features[0].device
        )
        return Boxes(
            to_positions(features),
            to_positions(deltas).float(),
            centerness[..., 0].float(),
            [inclusive(level) for level in anchors],
        )

    def project(self, text: dict[str, torch.Tensor]) -> Projected:
        """What the logits need of the words."""
        return self.alignment.project(self.words(text))

    def words(self, text: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, T, C_l) features of the words that places are compared with."""
        return text['hidden' if self.fused_text else 'embedded']

    def forward(
        self, features: Sequence[torch.Tensor], text: dict[str, torch.Tensor]
    ) -> tuple[Boxes, torch.Tensor]:
        """Boxes, and logits (B, N, T) of all places against all tokens."""
        boxes = self.forward_boxes(features)
        return boxes, self.alignment(boxes.features, self.project(text))

    # -- training -------------------------------------------------------------------------------

    def get_targets(
        self, anchors: list[torch.Tensor], instances: Sequence[InstanceData]
    ) -> list[AnchorTargets]:
        """Targets of each image; the instances are in the host's convention."""
        return [
            anchor_targets(self.assigner, anchors, inclusive(_tensor(one.bboxes)))
            for one in instances
        ]

    def loss(
        self,
        features: Sequence[torch.Tensor],
        text: dict[str, torch.Tensor],
        instances: Sequence[InstanceData],
        maps: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Losses of a batch.

        Args:
            features: L maps (B, C, H_l, W_l).
            text: What came out of the fusion; ``mask`` (B, T).
            instances: Of each image ``bboxes`` (G, 4) and ``labels`` (G,), numbers of phrases.
            maps: Of each image (P, T), the tokens of each phrase.
        """
        boxes, logits = self(features, text)
        targets = self.get_targets(boxes.anchors, instances)
        losses = self.loss_by_targets(boxes, logits, text['mask'], targets, instances, maps)
        return losses | self.contrast_loss(boxes, text, targets, instances, maps)

    def contrast_loss(
        self,
        boxes: Boxes,
        text: dict[str, torch.Tensor],
        targets: Sequence[AnchorTargets],
        instances: Sequence[InstanceData],
        maps: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Loss of the logits that only train; empty without such."""
        if self.contrast is None:
            return {}
        logits = self.contrast(boxes.features, self.contrast.project(self.words(text)))
        positive = torch.stack([found.positive for found in targets])
        count = reduce_mean(positive.sum().float()).clamp(min=1)
        wanted = torch.stack(
            [
                token_targets(found.objects, one.labels, rows)
                for found, one, rows in zip(targets, instances, maps, strict=True)
            ]
        )
        loss = self.loss_contrast(logits, wanted, text['mask'], avg_factor=count)
        return dict(loss_contrast=loss)

    def loss_by_targets(
        self,
        boxes: Boxes,
        logits: torch.Tensor,
        mask: torch.Tensor,
        targets: Sequence[AnchorTargets],
        instances: Sequence[InstanceData],
        maps: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Losses of what the head says, given which anchor answers for what."""
        wanted = torch.stack(
            [
                token_targets(found.objects, one.labels, rows, no_object=self.no_object)
                for found, one, rows in zip(targets, instances, maps, strict=True)
            ]
        )
        positive = torch.stack([found.positive for found in targets])
        weight = torch.stack([found.centerness for found in targets])[positive]
        goals = torch.stack([found.boxes for found in targets])[positive]
        count = reduce_mean(positive.sum().float()).clamp(min=1)
        total = reduce_mean(weight.sum()).clamp(min=torch.finfo(torch.float32).eps)
        anchors = torch.cat(boxes.anchors).expand(len(positive), -1, -1)[positive]
        found = self.bbox_coder.decode(anchors, boxes.deltas[positive])
        # A box without a width is a point where its left side is, as in the official code.
        found = torch.cat([found[:, :2], found[:, 2:].maximum(found[:, :2])], 1)
        centerness = boxes.centerness[positive]
        return dict(
            loss_token=self.loss_token(logits, wanted, mask, avg_factor=count),
            loss_bbox=self.loss_bbox(found, goals, weight, avg_factor=total)
            if len(found)
            else boxes.deltas.sum() * 0,
            loss_centerness=self.loss_centerness(centerness, weight, avg_factor=count)
            if len(found)
            else boxes.centerness.sum() * 0,
        )

    # -- test -----------------------------------------------------------------------------------

    def decode(self, boxes: Boxes, img_shape: Sequence[int], index: int) -> torch.Tensor:
        """(N, 4) boxes of image ``index``, clipped to it."""
        return self.bbox_coder.decode(
            torch.cat(boxes.anchors), boxes.deltas[index], max_shape=img_shape
        )

    def predict(
        self,
        boxes: Boxes,
        logits: torch.Tensor,
        maps: Sequence[torch.Tensor],
        metas: Sequence[dict],
    ) -> list[InstanceData]:
        """Detections of each image on its resized canvas; labels are numbers of phrases.

        Args:
            boxes: Of B images.
            logits: (B, N, T).
            maps: B times (K, T), the tokens of each phrase.
            metas: ``img_shape`` of each.
        """
        results = []
        for index, (rows, meta) in enumerate(zip(maps, metas, strict=True)):
            decoded = self.decode(boxes, meta['img_shape'], index)
            found = self.pre_nms(decoded, boxes.centerness[index], boxes.sizes, logits[index], rows)
            cfg = self.test_cfg
            results.append(non_maximum(*found, cfg['nms_iou'], cfg['max_per_img']))
        return results

    def pre_nms(
        self,
        decoded: torch.Tensor,
        centerness: torch.Tensor,
        sizes: Sequence[int],
        logits: torch.Tensor,
        maps: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes (M, 4), scores and phrases (M,) of one image before suppression."""
        cfg, parts, start = self.test_cfg, [], 0
        maps = maps.to(logits.device)
        for size in sizes:
            level = slice(start, start + size)
            scores = phrase_scores(logits[level].float().sigmoid(), maps, cfg['score_agg'])
            weights = centerness[level].sigmoid()
            scores, places, phrases = candidates(scores, weights, cfg['score_thr'], cfg['nms_pre'])
            parts.append((decoded[level][places], scores, phrases))
            start += size
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def finish(
        self, parts: list[InstanceData], meta: dict, *, rescale: bool, limit: int
    ) -> InstanceData:
        """Merges the captions of an image and brings boxes to its size and the host's convention.

        Args:
            parts: One per caption, of one image.
            meta: ``scale_factor`` (w, h).
            rescale: Whether to divide by it.
            limit: Most detections, -1 for all.
        """
        found = merge(parts, limit)
        if rescale:
            found.bboxes = found.bboxes / found.bboxes.new_tensor(meta['scale_factor']).repeat(2)
        if not self.test_cfg['inclusive']:
            found.bboxes = found.bboxes + found.bboxes.new_tensor(LAST)
        return found


LAST = (0.0, 0.0, 1.0, 1.0)
ANCHORS = dict(
    type='mmdet.AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=[8, 16, 32, 64, 128],
    center_offset=0.5,
)
CODER = dict(type='mmclip.LegacyDeltaXYWHBBoxCoder', weights=(10.0, 10.0, 5.0, 5.0))
ASSIGNER = dict(
    type='mmdet.ATSSAssigner', topk=9, iou_calculator=dict(type='mmclip.LegacyBboxOverlaps')
)
CENTERNESS = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
DEFAULT_TEST = dict(
    score_thr=0.05, nms_pre=1000, nms_iou=0.6, max_per_img=100, score_agg='MEAN', inclusive=False
)


def inclusive(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes whose x2, y2 lie behind the last pixel, as boxes whose last pixel is x2, y2."""
    return boxes - boxes.new_tensor(LAST)


def _tensor(boxes: object) -> torch.Tensor:
    return getattr(boxes, 'tensor', boxes)
