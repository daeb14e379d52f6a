"""GLIP's head with a mask for each detection."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData

from mmclip.models.glip.head import GLIPHead, inclusive
from mmclip.models.glip.targets import AnchorTargets, LegacyBboxOverlaps
from mmclip.models.glipv2.paste import paste
from mmclip.models.glipv2.token_mask_head import mask_targets
from mmclip.registry import MODELS


class GroundedBoxes(NamedTuple):
    """:class:`mmclip.models.glip.head.Boxes` with the maps and words that masks are read from.

    Shapes:
        maps: L (B, C, H_l, W_l), words (B, T, D).
    """

    features: torch.Tensor
    deltas: torch.Tensor
    centerness: torch.Tensor
    anchors: list[torch.Tensor]
    maps: tuple[torch.Tensor, ...]
    words: torch.Tensor

    @property
    def sizes(self) -> list[int]:
        return [len(level) for level in self.anchors]


@MODELS.register_module()
class GLIPv2Head(GLIPHead):
    """Boxes and token logits as GLIP's, and masks.

    In training regions are the boxes that the locations with an object say, and the annotated
    ones; those with an IoU of at least ``mask_iou`` get a mask target. When testing each detection
    gets the mask of its phrase, read from the maps and words behind the fusion.

    Source: GLIPv2, section 3; official ``MaskRCNNC4`` heads with ``RETURN_FUSED_FEATURES``. It
    takes the training regions from the detections.

    Args:
        mask_head: Config (``mmclip.TokenMaskHead``); None for none.
        mask_roi_extractor: Config of the host's.
        inclusive_masks: Cut and paste masks with boxes whose last pixel is part of them, as the
            official code does; by default as the host does.
        train_cfg: ``mask_iou`` (0.5), ``mask_regions`` (per image, 100).
        test_cfg: As GLIP's, and ``mask_threshold`` (0.5).
        args, kwargs: As :class:`~mmclip.models.glip.head.GLIPHead`.

    Raises:
        ValueError: one of ``mask_head`` and ``mask_roi_extractor`` without the other.
    """

    def __init__(
        self,
        *,
        mask_head: dict | None = None,
        mask_roi_extractor: dict | None = None,
        inclusive_masks: bool = False,
        text_dim: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(text_dim=text_dim, **kwargs)
        if (mask_head is None) != (mask_roi_extractor is None):
            raise ValueError('mask_head and mask_roi_extractor: give both or none')
        self.mask_head = self.mask_roi_extractor = None
        self.inclusive_masks = inclusive_masks
        self.max_total = -1  # detections of an image over all captions; the detector says it
        if mask_head is not None:
            self.mask_head = MODELS.build(dict(mask_head, word_dim=text_dim))
            self.mask_roi_extractor = MODELS.build(mask_roi_extractor)

    def forward(
        self, features: Sequence[torch.Tensor], text: dict[str, torch.Tensor]
    ) -> tuple[GroundedBoxes, torch.Tensor]:
        """Boxes, and logits (B, N, T) of all places against all tokens."""
        boxes, logits = super().forward(features, text)
        words = text['hidden' if self.fused_text else 'embedded']
        return GroundedBoxes(*boxes, tuple(features), words), logits

    def _region_features(
        self, maps: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, C, h, w) of all images' boxes (in the masks' convention), and whose they are."""
        rois = bbox2roi([rows.float() for rows in boxes])
        # A CPU's RoIAlign wants contiguous maps.
        maps = [level.contiguous() for level in maps[: self.mask_roi_extractor.num_inputs]]
        return self.mask_roi_extractor(maps, rois), rois[:, 0].long()

    def _mask_boxes(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes whose last pixel is part of them, in the masks' convention."""
        return boxes if self.inclusive_masks else boxes - inclusive(torch.zeros_like(boxes))

    # -- training -------------------------------------------------------------------------------

    @torch.no_grad()
    def mask_regions(
        self, decoded: torch.Tensor, targets: AnchorTargets, truth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Regions of an image that get a mask target, and their objects.

        Args:
            decoded: (N, 4) boxes that all locations say.
            targets: Of the locations.
            truth: (G, 4) annotated boxes. All boxes are inclusive.

        Returns:
            (R, 4), (R,) int64.
        """
        boxes = torch.cat([decoded[targets.positive], truth])
        if not len(truth):
            return boxes, targets.objects.new_zeros(0)
        overlap, objects = LegacyBboxOverlaps()(boxes, truth).max(1)
        good = (overlap >= self.train_cfg.get('mask_iou', 0.5)).nonzero()[:, 0]
        limit = self.train_cfg.get('mask_regions', 100)
        if len(good) > limit:
            good = good[torch.randperm(len(good), device=good.device)[:limit]]
        return boxes[good], objects[good]

    def mask_loss(
        self,
        boxes: GroundedBoxes,
        targets: Sequence[AnchorTargets],
        instances: Sequence[InstanceData],
        maps: Sequence[torch.Tensor],
        metas: Sequence[dict],
    ) -> torch.Tensor:
        """Loss of the masks, a mean over the regions of all processes; images without masks are
        left out.

        Args:
            boxes: Of B images.
            targets: Of each.
            instances: With ``bboxes``, ``labels`` (numbers of phrases) and perhaps ``masks``.
            maps: Of each (P, T), the tokens of each phrase.
            metas: ``img_shape`` of each.
        """
        regions, objects, tokens, masks = [], [], [], []
        for index, (one, rows) in enumerate(zip(instances, maps, strict=True)):
            truth = inclusive(getattr(one.bboxes, 'tensor', one.bboxes))
            if 'masks' in one:
                decoded = self.decode(boxes, metas[index]['img_shape'], index)
                found, matched = self.mask_regions(decoded, targets[index], truth)
            else:
                found, matched = truth[:0], one.labels[:0]
            regions.append(self._mask_boxes(found))
            objects.append(matched)
            tokens.append(rows[one.labels][matched] > 0)
            masks.append(one.get('masks'))
        side = 2 * self.mask_roi_extractor.roi_layers[0].output_size[0]
        goals = mask_targets(masks, objects, regions, side)
        features, image = self._region_features(boxes.maps, regions)
        logits = self.mask_head.phrase_logits(features, boxes.words, image, torch.cat(tokens))
        count = logits.new_tensor(float(len(logits)))
        return self.mask_head.loss(logits, goals) * count / reduce_mean(count).clamp(min=1)

    # -- test -----------------------------------------------------------------------------------

    def predict(
        self,
        boxes: GroundedBoxes,
        logits: torch.Tensor,
        maps: Sequence[torch.Tensor],
        metas: Sequence[dict],
    ) -> list[InstanceData]:
        """Detections as GLIP's, with ``mask_probs`` (N, h, w) inside of their boxes."""
        results = super().predict(boxes, logits, maps, metas)
        if self.mask_head is None:
            return results
        results = self._that_may_stay(results, metas)
        features, image = self._region_features(
            boxes.maps, [self._mask_boxes(found.bboxes) for found in results]
        )
        tokens = [
            rows.to(found.labels.device)[found.labels] > 0
            for rows, found in zip(maps, results, strict=True)
        ]
        found = self.mask_head.phrase_logits(features, boxes.words, image, torch.cat(tokens))
        parts = found.float().sigmoid().split([len(one) for one in results])
        for result, probs in zip(results, parts, strict=True):
            result.mask_probs = probs
        return results

    def _that_may_stay(
        self, results: list[InstanceData], metas: Sequence[dict]
    ) -> list[InstanceData]:
        """Without detections that cannot be among the best of their image, so need no mask.

        Several captions of one image come with the same meta information.
        """
        limit = self.max_total
        captions: dict[int, list[int]] = {}
        for index, meta in enumerate(metas):
            captions.setdefault(id(meta), []).append(index)
        for places in captions.values():
            scores = torch.cat([results[i].scores for i in places])
            if len(places) == 1 or limit < 0 or len(scores) <= limit:
                continue
            stays = torch.zeros_like(scores, dtype=torch.bool)
            # The order in which captions are merged at the end, where no tie is resolved otherwise.
            stays[scores.argsort(descending=True, stable=True)[:limit]] = True
            parts = stays.split([len(results[i]) for i in places])
            for i, part in zip(places, parts, strict=True):
                results[i] = results[i][part]
        return results

    def finish(
        self, parts: list[InstanceData], meta: dict, *, rescale: bool, limit: int
    ) -> InstanceData:
        """As GLIP's; masks are pasted into the image, (N, H, W) bool."""
        found = super().finish(parts, meta, rescale=rescale, limit=limit)
        if self.mask_head is None:
            return found
        boxes = found.bboxes if self.test_cfg['inclusive'] else inclusive(found.bboxes)
        found.masks = paste(
            found.pop('mask_probs'),
            self._mask_boxes(boxes),
            tuple(meta['ori_shape' if rescale else 'img_shape'][:2]),
            self.test_cfg.get('mask_threshold', 0.5),
            inclusive=self.inclusive_masks,
        )
        return found
