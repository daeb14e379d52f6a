"""The slow upper reference: CLIP looks at a crop of every proposal."""

from typing import Any

import torch
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.structures import InstanceData

from mmclip.clip.loading import clip_preprocess
from mmclip.models.vild.crops import CropRule, encode_crops, region_crops
from mmclip.models.vild.detector import ViLD, refuse_texts
from mmclip.models.vild.scores import ensemble_scores, softmax_scores
from mmclip.registry import MODELS

MODES = ('crops', 'text_and_crops')


@MODELS.register_module()
class CLIPOnCrops(ViLD):
    """Proposals named by CLIP itself, each crop through its image tower; for testing only.

    - ``'crops'``: s = sqrt(p_clip * objectness), on the proposals as they are;
    - ``'text_and_crops'``: the box head of ViLD-text and CLIP as the two branches of ViLD-ensemble.

    p_clip is a softmax over the classes without background. The towers are those of the
    classifier's text encoder. About 600 times slower than a detector (paper, table 2).

    Source: ViLD, section 3.2 ('image embeddings of cropped regions') and table 3.

    Args:
        mode: One of the above.
        crop_rule: Fields of :class:`mmclip.models.vild.crops.CropRule` that differ from CLIP's own.
        batch_size: Crops that go through the tower at once.
        kwargs: The host's.

    Raises:
        ValueError: unknown ``mode``; a mask head; a cascade.
    """

    def __init__(
        self,
        *,
        mode: str = 'crops',
        crop_rule: dict | None = None,
        batch_size: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f'mode: {mode!r} is none of {", ".join(MODES)}')
        if self.with_mask or not hasattr(self.roi_head.bbox_head, 'classifier'):
            raise ValueError(
                'roi_head: mmclip.CLIPOnCrops needs one mmclip.ViLDBBoxHead and no mask head'
            )
        self.mode = mode
        self.crop_rule = crop_rule or {}
        self.batch_size = batch_size

    def _rule(self) -> CropRule:
        encoder = self.roi_head.bbox_head.classifier.text_encoder
        own = clip_preprocess(encoder.model, encoder.pretrained)
        squash = own.pop('resize_mode', None) == 'squash'
        return CropRule(**{**own, 'resize': 'warp' if squash else 'short_side', **self.crop_rule})

    def crop_embeddings(
        self, image: torch.Tensor, boxes: torch.Tensor, shape: tuple[int, int]
    ) -> torch.Tensor:
        """(N, D) unit-norm embeddings of the crops at (N, 4) boxes.

        Args:
            image: (3, H, W) as the network gets it.
            boxes: In its pixels.
            shape: Height and width without padding.
        """
        preprocessor = self.data_preprocessor
        pixels = image[:, : shape[0], : shape[1]] * preprocessor.std + preprocessor.mean
        pixels = pixels.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        clip = self.roi_head.bbox_head.classifier.text_encoder.clip.to(image.device)
        rule = self._rule()
        limits = boxes.new_tensor([shape[1], shape[0], shape[1], shape[0]])
        crops = region_crops(pixels, boxes.clamp(min=0).minimum(limits).cpu(), rule)
        return encode_crops(clip, crops, rule, batch_size=self.batch_size).to(boxes.device)

    def loss(self, *args: Any, **kwargs: Any) -> dict:
        """There is nothing to train.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError('mmclip.CLIPOnCrops is for testing; train mmclip.ViLD instead')

    def predict(
        self, batch_inputs: torch.Tensor, batch_data_samples: list, rescale: bool = True
    ) -> list:
        """As the host's.

        Shapes:
            batch_inputs: (B, 3, H, W), RGB as the data preprocessor leaves it.
        """
        refuse_texts(batch_data_samples, self.class_names)
        x = self.extract_feat(batch_inputs)
        if batch_data_samples[0].get('proposals', None) is None:
            proposals = self.rpn_head.predict(x, batch_data_samples, rescale=False)
        else:
            proposals = [sample.proposals for sample in batch_data_samples]
        results = [
            self._predict_one(x, index, batch_inputs[index], found, sample.metainfo, rescale)
            for index, (found, sample) in enumerate(zip(proposals, batch_data_samples, strict=True))
        ]
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _predict_one(
        self,
        x: tuple[torch.Tensor, ...],
        index: int,
        image: torch.Tensor,
        proposals: InstanceData,
        meta: dict,
        rescale: bool,
    ) -> InstanceData:
        head, cfg = self.roi_head.bbox_head, self.roi_head.test_cfg
        boxes = get_box_tensor(proposals.bboxes)
        rois = bbox2roi([boxes])
        if not len(rois):
            return head._predict_by_feat_single(rois, rois[:, :0], None, meta, rescale, cfg)
        crop_logits = head.classifier.class_logits(
            self.crop_embeddings(image, boxes, meta['img_shape'])
        )

        def image_chunks() -> Any:
            return iter([(0, crop_logits)])

        if self.mode == 'crops':
            objectness = proposals.get('scores')
            if objectness is None:  # given boxes
                objectness = boxes.new_ones(len(boxes))
            ((_, scores),) = softmax_scores(image_chunks)()
            scores = (scores * objectness[:, None]).sqrt()
            deltas, chunks = None, lambda: iter([(0, scores)])
        else:
            rois[:, 0] = index
            extractor = self.roi_head.bbox_roi_extractor
            embeddings, deltas = head.embed(extractor(x[: extractor.num_inputs], rois))
            logits = head.classifier(embeddings)
            text, background = logits[:, : head.num_classes], logits[:, head.num_classes :]
            share = head.image_share(cfg.get('ensemble') or {}, logits.device)
            chunks = ensemble_scores(lambda: iter([(0, text)]), image_chunks, background, share)
        if cfg.get('per_proposal', False):
            deltas = None
        return head.results_of(head.boxes_of(rois, deltas, meta, rescale), chunks, cfg)
