"""Interactive detection: an image is looked at once, then named in any words in milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData

from mmclip.vocabulary.embedding_cache import EmbeddingCache

BACKGROUND = 'background'


@dataclass(frozen=True)
class RegionChoice:
    """Which regions are kept of an image.

    Source: the demo of the official code (constants as in a public port of its notebook).

    Args:
        nms_iou: Class-agnostic suppression of the refined boxes, by their RPN score.
        min_rpn_score: Regions with a lower RPN score are dropped.
        min_area: Boxes of at most so many square pixels (of the original image) are dropped.
        max_regions: Kept at most, best RPN score first.
    """

    nms_iou: float = 0.6
    min_rpn_score: float = 0.9
    min_area: float = 220.0
    max_regions: int = 25

    def __call__(self, boxes: torch.Tensor, rpn_scores: torch.Tensor) -> torch.Tensor:
        """(N, 4) boxes and (N,) scores -> indices of those that are kept, best first."""
        if not len(boxes):
            return torch.empty(0, dtype=torch.long, device=boxes.device)
        options = dict(type='nms', iou_threshold=self.nms_iou)
        _, kept = batched_nms(boxes, rpn_scores, boxes.new_zeros(len(boxes)), options, True)
        width, height = (boxes[kept, 2:] - boxes[kept, :2]).unbind(1)
        good = (rpn_scores[kept] >= self.min_rpn_score) & (width * height > self.min_area)
        return kept[good][: self.max_regions]


class ClassifiedRegions(NamedTuple):
    """Regions of an image that carry a name.

    Attributes:
        indices: (M,) into the image's regions.
        labels: (M,) into the words.
        scores: (M,) cosines of the winning word.
        cosines: (N, K) of all regions with all words, without the background.
    """

    indices: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor
    cosines: torch.Tensor


class AttributeScores(NamedTuple):
    """Pr(v | r) (N, K), Pr(a | r) (N, A) and Pr(v, a | r) (N, K, A)."""

    classes: torch.Tensor
    attributes: torch.Tensor
    joint: torch.Tensor


def attribute_scores(
    embeddings: torch.Tensor,
    class_text: torch.Tensor,
    attribute_text: torch.Tensor,
    temperature: float = 0.01,
) -> AttributeScores:
    """Scores of classes, attributes and pairs of both.

    Pr(v, a | r) = Pr(v | r) Pr(a | r), each a softmax over its own list; so K + A texts name K x A
    pairs.

    Source: ViLD, section 4.5 (systematic expansion of the vocabulary).

    Shapes:
        embeddings (N, D), class_text (K, D), attribute_text (A, D), of any norm.
    """
    regions = F.normalize(embeddings, dim=-1)
    classes, attributes = (
        (regions @ F.normalize(text, dim=-1).T / temperature).softmax(dim=-1)
        for text in (class_text, attribute_text)
    )
    return AttributeScores(classes, attributes, classes[:, :, None] * attributes[:, None, :])


@dataclass
class ImageRegions:
    """What is known of an image before any word is said.

    Args:
        boxes: (N, 4) xyxy in the original image's pixels.
        rpn_scores: (N,).
        embeddings: (N, D), L2-normalized.
        masks: (N, H, W) bool, None if the model has no mask head.
    """

    boxes: torch.Tensor
    rpn_scores: torch.Tensor
    embeddings: torch.Tensor
    masks: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def classify(self, text: torch.Tensor) -> ClassifiedRegions:
        """The regions whose best text is not the background.

        Args:
            text: (1 + K, D), L2-normalized, that of the background first.
        """
        cosines = self.embeddings @ text.T
        scores, labels = cosines.max(dim=1)
        shown = labels.nonzero()[:, 0]
        return ClassifiedRegions(shown, labels[shown] - 1, scores[shown], cosines[:, 1:])


@dataclass
class InteractiveDetector:
    """Looks at images once and names their regions in any words.

        detector = InteractiveDetector(model)
        regions = detector.encode_image('street.jpg')
        named = detector.classify(regions, ['red car', 'a person who waits'])

    Args:
        model: A :class:`mmclip.models.vild.detector.ViLD` in eval mode.
        pipeline: Test pipeline; by default that of ``model.cfg``, where the hosts keep the config.
        choice: Which regions are kept.
        prompts: Templates around the words; None takes those of the model.
    """

    model: torch.nn.Module
    pipeline: Sequence[dict] | None = None
    choice: RegionChoice = field(default_factory=RegionChoice)
    prompts: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            if not hasattr(self.model, 'cfg'):
                raise ValueError('pipeline: the model keeps no config, so the pipeline is needed')
            pipeline = self.model.cfg.test_dataloader.dataset.pipeline
        steps = [dict(step) for step in pipeline if 'LoadAnnotations' not in step['type']]
        self._from_file = Compose(steps)
        self._from_array = Compose(
            [dict(type='mmdet.LoadImageFromNDArray')]
            + [step for step in steps if 'LoadImageFromFile' not in step['type']]
        )
        self.cache = EmbeddingCache()

    @torch.no_grad()
    def encode_image(self, image: str | np.ndarray) -> ImageRegions:
        """Boxes, masks and embeddings of an image, given by its path or as (H, W, 3) BGR uint8.

        Source: the demo: boxes are the refined ones of the second stage, their order and the
        threshold go by the RPN's score, and no class takes part.
        """
        data = self._load(image)
        data = self.model.data_preprocessor(pseudo_collate([data]), False)
        samples = data['data_samples']
        meta = samples[0].metainfo
        features = self.model.extract_feat(data['inputs'])
        proposals = self.model.rpn_head.predict(features, samples, rescale=False)[0]
        rois = bbox2roi([get_box_tensor(proposals.bboxes)])
        head = self.model.roi_head
        x = head.bbox_roi_extractor(features[: head.bbox_roi_extractor.num_inputs], rois)
        embeddings, deltas = head.bbox_head.embed(x)
        boxes = rois[:, 1:]
        if deltas is not None and len(boxes):
            decode = head.bbox_head.bbox_coder.decode
            boxes = get_box_tensor(decode(boxes, deltas, max_shape=meta['img_shape']))
        if getattr(head.bbox_head, 'image_branch', False):
            embeddings = head.bbox_head.embed_image(x)
        scale = boxes.new_tensor(meta['scale_factor']).repeat(2)
        kept = self.choice(boxes / scale, proposals.scores)
        found = InstanceData(
            bboxes=boxes[kept].clone(),
            scores=proposals.scores[kept],
            labels=torch.zeros_like(kept),
        )
        masks = None
        if head.with_mask:
            metas = [sample.metainfo for sample in samples]
            masks = head.predict_mask(features, metas, [found], rescale=True)[0].masks
        return ImageRegions(
            boxes=boxes[kept] / scale,
            rpn_scores=proposals.scores[kept],
            embeddings=F.normalize(embeddings[kept].float(), dim=-1),
            masks=masks,
        )

    def _load(self, image: str | np.ndarray) -> dict:
        if isinstance(image, np.ndarray):
            return self._from_array(dict(img=image, img_id=0))
        return self._from_file(dict(img_path=str(image), img_id=0))

    def text(self, words: Sequence[str]) -> torch.Tensor:
        """(K, D) embeddings of words; each is encoded once.

        Raises:
            ValueError: the vocabulary of the model was baked into weights.
        """
        classifier = self.model.roi_head.bbox_head.classifier
        return self.cache.rows(words, self._encode).to(classifier.embeddings.device)

    def _encode(self, words: Sequence[str]) -> torch.Tensor:
        classifier = self.model.roi_head.bbox_head.classifier
        if classifier.text_encoder is None:
            raise ValueError('the vocabulary was baked into weights; new words need the tower')
        prompts = self.prompts if self.prompts is not None else classifier.prompts
        return classifier.text_encoder.encode_names(words, prompts)

    def classify(self, regions: ImageRegions, words: Sequence[str]) -> ClassifiedRegions:
        """The regions that one of the words fits better than 'background' does.

        Raises:
            ValueError: no word.
        """
        if not words:
            raise ValueError('words: at least one is needed')
        return regions.classify(self.text([BACKGROUND, *words]))

    def classify_with_attributes(
        self, regions: ImageRegions, words: Sequence[str], attributes: Sequence[str]
    ) -> AttributeScores:
        """Pr(word, attribute | region) for every pair, from K + A texts."""
        temperature = self.model.roi_head.bbox_head.classifier.temperature
        texts = self.text(words), self.text(attributes)
        return attribute_scores(regions.embeddings, *texts, temperature)
