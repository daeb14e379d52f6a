"""GLIP with the losses of GLIPv2."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import reduce_mean
from torch import nn

from mmclip.models.glip.detector import GLIPDetector
from mmclip.models.glip.fusion import to_positions
from mmclip.models.glip.targets import AnchorTargets
from mmclip.models.glipv2.region_words import NO_REGION_LABEL, class_key, phrase_keys, word_keys
from mmclip.models.glipv2.regions import Regions, box_features, location_features
from mmclip.models.glipv2.text_conditioned_neck import TextConditionedNeck
from mmclip.registry import MODELS, TASK_UTILS

MASKS_ONLY = 'masks'  # a tuning beside GLIP's
MASK_HEAD = 'bbox_head.mask_head'
WORD_TABLES = ('word_embeddings', 'token_embedding')  # BERT's and CLIP's


def count_words(encoder: nn.Module) -> int:
    """V of a text tower: rows of its table of words."""
    tables = [
        module.num_embeddings
        for name, module in encoder.named_modules()
        if name.rpartition('.')[2] in WORD_TABLES
    ]
    if len(tables) != 1:
        raise ValueError(
            f'vocab_size: {type(encoder).__name__} has {len(tables)} tables of words; say how many '
            'words there are in mlm_head'
        )
    return tables[0]


@MODELS.register_module()
class GLIPv2Detector(GLIPDetector):
    """Detection, masks and phrases by words, with comparisons across images and hidden words.

    .. math:: L = L_{loc} + L_{intra} + L_{inter} + L_{mlm} (+ L_{mask})

    The first two are GLIP's. Testing is GLIP's; detections carry ``masks`` where the head has a
    mask head.

    Source: GLIPv2 (arXiv 2206.05836), section 3; parts in the official repository of GLIP.

    Args:
        inter_image_loss: Config of :class:`mmclip.InterImageRegionWordLoss`; None for none.
            ``word_dim`` is filled in, and ``region_dim`` for the maps of the pyramid.
        mask_tokens: Config of :class:`mmclip.MaskTokens`; None hides nothing.
        mlm_head: Config of :class:`mmclip.MLMHead`; ``embed_dim`` and ``vocab_size`` are filled in.
        tuning: As GLIP's, and ``'masks'``: everything but the mask head is frozen.
        kwargs: As :class:`mmclip.GLIPDetector`; ``bbox_head`` is a :class:`mmclip.GLIPv2Head`.

    Raises:
        ValueError: hidden words that nobody names, or the other way round; a mask head or
            ``tuning='masks'`` in a model that cannot have it; regions that the model does not have.
    """

    # Losses of pre-training: a checkpoint is tested and fine-tuned with or without them.
    training_modules = ('inter_image_loss', 'mlm_head')

    train_settings = (*GLIPDetector.train_settings, 'mask_iou', 'mask_regions')
    test_settings = (*GLIPDetector.test_settings, 'mask_threshold')

    def __init__(
        self,
        *,
        inter_image_loss: dict | None = None,
        mask_tokens: dict | None = None,
        mlm_head: dict | None = None,
        tuning: str = 'full',
        **kwargs: Any,
    ) -> None:
        super().__init__(tuning='full' if tuning == MASKS_ONLY else tuning, **kwargs)
        if (mask_tokens is None) != (mlm_head is None):
            raise ValueError('mask_tokens and mlm_head: give both or none')
        has_masks = getattr(self.bbox_head, 'mask_head', None) is not None
        if has_masks and not self.fusion.fuses:
            raise ValueError('mask_head: masks are read behind a fusion, this model has none')
        if tuning == MASKS_ONLY and not has_masks:
            raise ValueError("tuning: 'masks' needs bbox_head.mask_head")
        if isinstance(self.fusion, TextConditionedNeck):
            self.fusion.attach(self.backbone, self.neck)
        self.inter_image_loss = self.region_extractor = None
        if inter_image_loss is not None:
            self._build_inter_image_loss(dict(inter_image_loss))
        self.mask_tokens = self.mlm_head = None
        if mlm_head is not None:
            self.mask_tokens = TASK_UTILS.build(mask_tokens)
            sizes = dict(embed_dim=self.text_encoder.embed_dim) | mlm_head
            if 'vocab_size' not in sizes:
                sizes['vocab_size'] = count_words(self.text_encoder)
            self.mlm_head = MODELS.build(sizes)
        self.masks_only = tuning == MASKS_ONLY
        if self.masks_only:
            self._train_only((MASK_HEAD,))

    def _build_inter_image_loss(self, config: dict) -> None:
        config.setdefault('word_dim', self.text_encoder.embed_dim)
        source, channels = config.get('source', 'fpn'), self.bbox_head.reg.in_channels
        if source == 'c4' and 'region_dim' not in config:
            raise ValueError("region_dim: source='c4' needs the channels of the backbone's map")
        if source != 'c4' and isinstance(self.fusion, TextConditionedNeck):
            raise ValueError(
                f"source: {source!r}; with words in the backbone only 'c4' has not seen them"
            )
        config.setdefault('region_dim', channels)
        self.inter_image_loss = MODELS.build(config)
        if source == 'roi':
            strides = [stride[0] for stride in self.bbox_head.anchor_generator.strides]
            self.region_extractor = MODELS.build(
                dict(
                    type='mmdet.SingleRoIExtractor',
                    roi_layer=dict(type='RoIAlign', output_size=1, sampling_ratio=0),
                    out_channels=channels,
                    featmap_strides=strides,
                    finest_scale=14 * strides[0],  # Mask R-CNN's: 224 pixels on the second level
                )
            )

    # -- features -------------------------------------------------------------------------------

    def extract_feat(self, batch_inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps before the fusion; of a backbone that reads words those that do not depend on them.

        Shapes:
            (B, 3, H, W) -> L maps (B, C, H_l, W_l).
        """
        return self._maps(self.backbone(batch_inputs))

    def _maps(self, levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        late = isinstance(self.fusion, TextConditionedNeck)
        return tuple(levels if late else self.neck(levels))

    # -- training -------------------------------------------------------------------------------

    def loss(self, batch_inputs: torch.Tensor, batch_data_samples: SampleList) -> dict:
        """Losses of a batch.

        Shapes:
            batch_inputs: (B, 3, H, W).
        """
        samples, head = batch_data_samples, self.bbox_head
        batch, maps = self.read_samples(samples)
        ids, hidden_words = batch.ids, None
        if self.mask_tokens is not None:
            ids, hidden_words = self.mask_tokens(
                batch,
                [sample.get('maskable_spans') for sample in samples],
                [sample.get('text_type', 'det') for sample in samples],
                self.text_encoder.tokenizer,
            )
        text = self.encode_text(ids, batch.mask)
        levels = self.backbone(batch_inputs)
        before = self._maps(levels)
        features, text = self.fusion(before, text)
        instances = [sample.gt_instances for sample in samples]
        maps = [rows.to(batch_inputs.device) for rows in maps]

        boxes, logits = head(features, text)
        targets = head.get_targets(boxes.anchors, instances)
        losses = {}
        if not self.masks_only:
            losses = head.loss_by_targets(boxes, logits, text['mask'], targets, instances, maps)
            losses |= head.contrast_loss(boxes, text, targets, instances, maps)
            if self.inter_image_loss is not None:
                features = self._regions(
                    batch_inputs, samples, targets, boxes.anchors, levels, before
                )
                losses['loss_inter_image'] = self._compare_images(samples, maps, text, features)
            if self.mlm_head is not None:
                words = text['hidden' if head.fused_text else 'embedded']
                losses['loss_mlm'] = self.mlm_head.loss(words, hidden_words.to(words.device))
        if getattr(head, 'mask_head', None) is not None:
            metas = [sample.metainfo for sample in samples]
            losses['loss_mask'] = head.mask_loss(boxes, targets, instances, maps, metas)
        return self.skip_empty(losses, instances)

    def _regions(
        self,
        batch_inputs: torch.Tensor,
        samples: SampleList,
        targets: Sequence[AnchorTargets],
        anchors: Sequence[torch.Tensor],
        levels: Sequence[torch.Tensor],
        before: Sequence[torch.Tensor],
    ) -> tuple[list[torch.Tensor], list[Regions], torch.Tensor]:
        """Features of regions that meet words of other images, and how many have a box."""
        loss = self.inter_image_loss
        count = sum(found.positive.sum() for found in targets).float()
        if loss.source == 'roi':
            boxes = [getattr(b, 'tensor', b) for b in (s.gt_instances.bboxes for s in samples)]
            chosen = loss.choose_boxes([len(rows) for rows in boxes], batch_inputs.device)
            boxes = [rows[one.places] for rows, one in zip(boxes, chosen, strict=True)]
            maps = [level.contiguous() for level in before[: self.region_extractor.num_inputs]]
            found = self.region_extractor(maps, bbox2roi(boxes)).flatten(1)
            sizes = [len(rows) for rows in boxes]
            return list(found.split(sizes)), chosen, count.new_tensor(float(sum(sizes)))
        chosen = loss.choose([found.objects for found in targets])
        if loss.source == 'fpn':
            return location_features(to_positions(before), chosen), chosen, count
        every, c4 = torch.cat(list(anchors)), levels[-2]
        stride = batch_inputs.shape[-1] / c4.shape[-1]
        return box_features(c4, [every[one.places] for one in chosen], stride), chosen, count

    def _phrase_keys(self, sample: DetDataSample) -> list[int]:
        """Label of each phrase of a sample's caption, or of each class of the vocabulary."""
        by_name = self.inter_image_loss.by_name
        if 'text' in sample and 'phrase_spans' in sample:
            spans = sample.phrase_spans
            labels = sample.get('phrase_labels', [-1] * len(spans))
            return phrase_keys(sample.text, spans, labels, by_name)
        names = self.class_names
        return [class_key(name) for name in names] if by_name else list(range(len(names)))

    def _compare_images(
        self,
        samples: SampleList,
        maps: Sequence[torch.Tensor],
        text: dict[str, torch.Tensor],
        regions: tuple[list[torch.Tensor], list[Regions], torch.Tensor],
    ) -> torch.Tensor:
        """The loss across images, see :class:`mmclip.InterImageRegionWordLoss`."""
        loss = self.inter_image_loss
        features, chosen, count = regions
        words, mask = text['hidden' if loss.text == 'fused' else 'embedded'], text['mask']
        keys = [torch.tensor(self._phrase_keys(s), device=mask.device).long() for s in samples]
        labels = [sample.gt_instances.labels for sample in samples]
        return loss(
            features,
            chosen,
            [rows[own] > 0 for rows, own in zip(maps, labels, strict=True)],
            [_of_regions(found[own]) for found, own in zip(keys, labels, strict=True)],
            words,
            mask,
            torch.stack([word_keys(rows, found) for rows, found in zip(maps, keys, strict=True)]),
            reduce_mean(count).clamp(min=1),
        )

    # -- test -----------------------------------------------------------------------------------

    def predict(
        self, batch_inputs: torch.Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """As GLIP's; only detections that can be among the best of their image get masks.

        Shapes:
            batch_inputs: (B, 3, H, W).
        """
        limit = self.bbox_head.test_cfg['max_per_img']
        self.bbox_head.max_total = self.test_cfg.get('max_total', limit)
        return super().predict(batch_inputs, batch_data_samples, rescale)


def _of_regions(keys: torch.Tensor) -> torch.Tensor:
    """Labels of boxes: those of free text differ from those of its words, so they never meet."""
    return keys.masked_fill(keys < 0, NO_REGION_LABEL)
