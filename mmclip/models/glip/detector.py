"""The detector that reads a caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.detectors.single_stage import SingleStageDetector
from mmdet.structures import OptSampleList, SampleList
from mmengine.structures import InstanceData
from torch import nn

from mmclip.models.glip.head import DEFAULT_TEST, Boxes
from mmclip.models.glip.host_prompts import asked_names, find_phrases
from mmclip.models.glip.prompts import (
    CaptionedVocabulary,
    Text,
    phrase_maps,
    trimmed,
)
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names
from mmclip.text.dataset_meta import classes_of
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts

# What is trained, as starts of parameter names; the rest is frozen and in evaluation mode.
TUNED = {
    'full': ('',),
    'linear': ('bbox_head.reg', 'bbox_head.centerness', 'bbox_head.alignment'),
    'prompt_v1': ('text_encoder',),
    'prompt_v2': ('prompt_offset',),
}
WORDS_AROUND = ('prefix', 'name', 'suffix')
Maps = tuple[torch.Tensor, ...]


@MODELS.register_module()
class GLIPDetector(OpenVocabularyMixin, SingleStageDetector):
    """Grounded detection: every place of an image against every token of a caption.

    A sample with ``text`` and ``phrase_spans`` is grounded in its own caption; one without in the
    vocabulary of :meth:`set_classes`, in as many captions as that needs. mmdet's own inference may
    bring a ``text`` alone: names with ``custom_entities``, else a caption whose noun phrases are
    looked for. With a vocabulary the words are
    encoded once, the image's backbone and pyramid run once for all captions, and without a
    fusion everything but the comparison with the words does.

    Source: GLIP (arXiv 2112.03857); official ``GeneralizedVLRCNN``.

    Args:
        backbone, neck, data_preprocessor: The host's.
        text_encoder: Config of a token encoder (``mmclip.BertTokenEncoder``, ...).
        fusion: Config of the tower (``mmclip.DeepFusionNeck``).
        bbox_head: Config of the head (``mmclip.GLIPHead``).
        classes: First vocabulary: names, or the name of a known one.
        tuning: What is trained: ``'full'``, ``'linear'`` (box, centerness, alignment),
            ``'prompt_v1'`` (the text tower), ``'prompt_v2'`` (offsets that are added to the words).
        prompt_rows: Rows of these offsets, at least the tokens of a text.
        train_cfg: ``max_empty_share``: a batch in which more than this share of the images has no
            object has loss 0 (official 0.1; None: never).
        test_cfg: As :class:`~mmclip.models.glip.head.GLIPHead`, and ``chunk_size`` (classes of a
            caption, -1: as many as fit; official 40 for LVIS), ``chunks_per_pass`` (captions that
            go through the fusion at once), ``max_total`` (detections of an image over all
            captions, -1 for all; by default ``max_per_img``).

    Raises:
        ValueError: an unknown tuning, fewer rows than tokens, an unknown entry of ``train_cfg`` or
            ``test_cfg``, ``chunks_per_pass`` below 1.
    """

    train_settings = ('max_empty_share',)
    _trained: tuple[str, ...] = ('',)
    test_settings = (*DEFAULT_TEST, 'chunk_size', 'chunks_per_pass', 'max_total')

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        text_encoder: dict,
        fusion: dict,
        bbox_head: dict,
        classes: str | Sequence[str] | None = None,
        tuning: str = 'full',
        prompt_rows: int = 1000,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if tuning not in TUNED:
            raise ValueError(f'tuning: {tuning!r}; allowed are {", ".join(TUNED)}')
        _only('train_cfg', train_cfg or {}, self.train_settings)
        _only('test_cfg', test_cfg or {}, self.test_settings)
        if (test_cfg or {}).get('chunks_per_pass', 1) < 1:
            raise ValueError(
                f'test_cfg.chunks_per_pass: {test_cfg["chunks_per_pass"]}; allowed are 1 and more'
            )
        encoder = MODELS.build(text_encoder)
        super().__init__(
            backbone=backbone,
            neck=neck,
            bbox_head=dict(bbox_head, text_dim=encoder.embed_dim),
            train_cfg=train_cfg or {},
            test_cfg=test_cfg or {},
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.text_encoder = encoder
        self.fusion = MODELS.build(dict(fusion, text_dim=encoder.embed_dim))
        self.tuning = tuning
        self.prompt_offset = None
        if tuning == 'prompt_v2':
            if prompt_rows < encoder.max_tokens:
                raise ValueError(
                    f'prompt_rows: {prompt_rows} are fewer than the {encoder.max_tokens} tokens of '
                    'a text'
                )
            self.prompt_offset = nn.Parameter(torch.zeros(prompt_rows, encoder.embed_dim))
        if tuning != 'full':
            self._train_only(TUNED[tuning])
        self.vocabulary: CaptionedVocabulary | None = None
        self._asked: CaptionedVocabulary | None = None  # of the last text that came with an image
        if classes is not None:
            self.set_classes(classes)

    # -- vocabulary -----------------------------------------------------------------------------

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """Put names into captions; nothing is encoded yet.

        Args:
            names: Class names.
            prompts: Words around names: name -> dict with any of ``prefix``, ``name`` (read instead
                of the class name), ``suffix``; or one such dict per name.
            examples: Not possible: GLIP reads words.

        Raises:
            ValueError: prompts that are no such dicts, examples.
        """
        if examples is not None:
            raise ValueError('examples: GLIP compares with words; images cannot stand for classes')
        if isinstance(prompts, Mapping):
            unknown = sorted(set(prompts) - set(names))
            if unknown:
                raise ValueError(f'prompts: {unknown[:5]} are not among the classes')
            prompts = [prompts.get(name, {}) for name in names]
        if prompts is not None and (
            len(prompts) != len(names) or not all(isinstance(p, Mapping) for p in prompts)
        ):
            raise ValueError(
                'prompts: GLIP takes a dict with prefix, name or suffix per class, not templates; '
                f'got {str(prompts)[:80]}'
            )
        for name, prompt in zip(names, prompts or [{}] * len(names), strict=True):
            _only(f'prompts of {name!r}', prompt, WORDS_AROUND)
        self.class_names = names
        self.vocabulary = CaptionedVocabulary(
            names,
            self.text_encoder,
            chunk_size=self.test_cfg.get('chunk_size', -1),
            prompts=prompts,
        )

    def train(self, mode: bool = True) -> 'GLIPDetector':
        """As every module's, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for name, module in self.named_modules():
            if name and not name.startswith(self._trained):
                module.training = False
        return self

    @torch.no_grad()
    def _train_only(self, names: Sequence[str]) -> None:
        """Train what starts with one of the names and nothing else."""
        self._trained = tuple(names)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(self._trained))

    # -- the parts of a forward pass ------------------------------------------------------------

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> Text:
        """Tokens (B, T) to the text that fusion and head take."""
        device = next(self.text_encoder.parameters()).device
        return self._offset(self.text_encoder(ids.to(device), mask.to(device)))

    def _offset(self, text: Text) -> Text:
        """Adds what prompt tuning learns."""
        if self.prompt_offset is None:
            return text
        rows = self.prompt_offset[: text['hidden'].shape[1]]
        return text | {name: text[name] + rows for name in ('hidden', 'embedded')}

    def read_samples(self, samples: SampleList) -> tuple[Any, list[torch.Tensor]]:
        """Tokens of the samples' captions, and of each the tokens (P, T) of its phrases.

        Raises:
            ValueError: samples without captions for a vocabulary that does not fit one.
        """
        if all('text' in sample and 'phrase_spans' in sample for sample in samples):
            texts = [sample.text for sample in samples]
            batch = self.text_encoder.tokenize(texts, pad=False)
            return batch, phrase_maps([sample.phrase_spans for sample in samples], batch)
        texts, _, maps, _ = self._vocabulary().captions
        if len(texts) > 1:
            raise ValueError(
                f'classes: {len(self.class_names)} names do not fit one caption; training needs '
                'mmclip.DetToGrounding in the pipeline, which draws some for each image'
            )
        batch = self.text_encoder.tokenize(texts * len(samples), pad=False)
        return batch, [maps[0]] * len(samples)

    def _vocabulary(self) -> CaptionedVocabulary:
        if self.vocabulary is None:
            # MMDetection's init_detector tells the classes of the training in this way.
            names = classes_of(getattr(self, 'dataset_meta', None))
            if names:
                self.set_classes(names)
        if self.vocabulary is None:
            raise ValueError(
                'classes: this GLIP has no vocabulary; call set_classes(names), put '
                'mmclip.VocabularyHook into custom_hooks, or give each sample a text'
            )
        return self.vocabulary

    # -- training -------------------------------------------------------------------------------

    def loss(self, batch_inputs: torch.Tensor, batch_data_samples: SampleList) -> dict:
        """Losses of a batch.

        Shapes:
            batch_inputs: (B, 3, H, W).
        """
        batch, maps = self.read_samples(batch_data_samples)
        text = self.encode_text(batch.ids, batch.mask)
        features, text = self.fusion(self.extract_feat(batch_inputs), text)
        instances = [sample.gt_instances for sample in batch_data_samples]
        maps = [rows.to(batch_inputs.device) for rows in maps]
        losses = self.bbox_head.loss(features, text, instances, maps)
        return self.skip_empty(losses, instances)

    def skip_empty(self, losses: dict, instances: Sequence[InstanceData]) -> dict:
        """Loss 0 for a batch with too many images without objects, if ``train_cfg`` says so."""
        limit = self.train_cfg.get('max_empty_share')
        empty = sum(not len(one) for one in instances) / len(instances)
        if limit is None or empty <= limit:
            return losses
        return {name: value * 0 for name, value in losses.items()}

    # -- test -----------------------------------------------------------------------------------

    def predict(
        self, batch_inputs: torch.Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detections in ``pred_instances`` of the samples; labels are numbers of classes.

        For a sample with a caption of its own they are ``phrase_labels`` where the phrases are
        classes, and numbers of phrases in free text.

        Shapes:
            batch_inputs: (B, 3, H, W).
        """
        features = self.extract_feat(batch_inputs)
        asked = [asked_names(sample, self.class_names) for sample in batch_data_samples]
        for sample, names in zip(batch_data_samples, asked, strict=True):
            if names is None and isinstance(sample.get('text'), str):
                if 'phrase_spans' not in sample:
                    find_phrases(sample, apart=getattr(self.text_encoder, 'apart', False))
        own = ['phrase_spans' in sample and 'text' in sample for sample in batch_data_samples]
        keys = list(zip(own, asked, strict=True))
        parts, names = [None] * len(keys), [None] * len(keys)
        for key in dict.fromkeys(keys):
            rows = [index for index, other in enumerate(keys) if other == key]
            maps = features
            if len(rows) < len(keys):
                maps = tuple(level[rows] for level in features)
            found, words = self._predict_alike(maps, [batch_data_samples[i] for i in rows], *key)
            for row, part, name in zip(rows, found, words, strict=True):
                parts[row], names[row] = part, name
        metas = [sample.metainfo for sample in batch_data_samples]
        limit = self.test_cfg.get('max_total', self.bbox_head.test_cfg['max_per_img'])
        results = []
        for found, meta in zip(parts, metas, strict=True):
            bound = limit if len(found) > 1 else -1
            results.append(self.bbox_head.finish(found, meta, rescale=rescale, limit=bound))
        for result, sample, words in zip(results, batch_data_samples, names, strict=True):
            if 'text' in sample:
                result.label_names = [words[i] for i in result.labels.tolist()]
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _predict_alike(
        self, features: Maps, samples: SampleList, own: bool, asked: tuple[str, ...] | None
    ) -> tuple[list[list[InstanceData]], list]:
        """Detections and names of samples that each have a caption, or share a vocabulary."""
        metas = [sample.metainfo for sample in samples]
        if own:
            return self._predict_captions(features, samples, metas)
        vocabulary = self._vocabulary() if asked is None else self._vocabulary_of(asked)
        found = self._predict_vocabulary(features, metas, vocabulary)
        return found, [vocabulary.names] * len(metas)

    def _vocabulary_of(self, names: tuple[str, ...]) -> CaptionedVocabulary:
        if self._asked is None or self._asked.names != names:
            size = self.test_cfg.get('chunk_size', -1)
            self._asked = CaptionedVocabulary(
                class_names(names), self.text_encoder, chunk_size=size
            )
        return self._asked

    def _predict_captions(
        self, features: Maps, samples: SampleList, metas: Sequence[dict]
    ) -> tuple[list[list[InstanceData]], list]:
        batch, maps = self.read_samples(samples)
        features, text = self.fusion(features, self.encode_text(batch.ids, batch.mask))
        boxes, logits = self.bbox_head(features, text)
        found = self.bbox_head.predict(boxes, logits, maps, metas)
        names = []
        for result, sample in zip(found, samples, strict=True):
            phrases = [
                ' '.join(sample.text[a:b] for a, b in pieces) for pieces in sample.phrase_spans
            ]
            labels = list(sample.get('phrase_labels', ()))
            if labels and min(labels) >= 0:
                table = dict(zip(labels, phrases, strict=True))
                result.labels = torch.tensor(labels, device=result.labels.device)[result.labels]
                phrases = table
            names.append(phrases)
        return [[one] for one in found], names

    def _predict_vocabulary(
        self, features: Maps, metas: Sequence[dict], vocabulary: CaptionedVocabulary
    ) -> list[list[InstanceData]]:
        """Of each image the detections of every caption of the vocabulary."""
        text = self._offset(vocabulary.text(self.text_encoder))
        count = self.test_cfg.get('chunks_per_pass', 4)
        found: list[list[InstanceData]] = [[] for _ in metas]
        if not self.fusion.fuses:
            features, _ = self.fusion(features, text)
            boxes = self.bbox_head.forward_boxes(features)
        for part, maps, classes in vocabulary.passes(text, count):
            if not self.fusion.fuses:
                self._compare(boxes, part, maps, classes, metas, found)
                continue
            for index, meta in enumerate(metas):
                views = [level[index].expand(len(maps), -1, -1, -1) for level in features]
                fused, words = self.fusion(tuple(views), part)
                own, logits = self.bbox_head(fused, words)
                results = self.bbox_head.predict(own, logits, maps, [meta] * len(maps))
                found[index] += _renumbered(results, classes)
        return found

    def _compare(
        self,
        boxes: Boxes,
        text: Text,
        maps: Sequence[torch.Tensor],
        classes: Sequence[torch.Tensor],
        metas: Sequence[dict],
        found: list[list[InstanceData]],
    ) -> None:
        """Without a fusion captions differ in the logits only."""
        weights, bias = self.bbox_head.project(text)
        for number, rows in enumerate(maps):
            words = weights[number : number + 1], bias[number : number + 1]
            words = tuple(part.expand(len(metas), *part.shape[1:]) for part in words)
            logits = self.bbox_head.alignment(boxes.features, words)
            results = self.bbox_head.predict(boxes, logits, [rows] * len(metas), metas)
            for index, result in enumerate(results):
                found[index] += _renumbered([result], [classes[number]])

    def _forward(self, batch_inputs: torch.Tensor, batch_data_samples: OptSampleList = None) -> Any:
        """Raw outputs for the samples' captions or a vocabulary of one caption.

        Shapes:
            (B, 3, H, W) -> deltas (B, N, 4), centerness (B, N), token logits (B, N, T).
        """
        samples = batch_data_samples
        if samples is None:
            texts, *_ = self._vocabulary().captions
            batch = self.text_encoder.tokenize(texts[:1] * len(batch_inputs), pad=False)
        else:
            batch, _ = self.read_samples(samples)
        text = trimmed(self.encode_text(batch.ids, batch.mask))
        features, text = self.fusion(self.extract_feat(batch_inputs), text)
        boxes, logits = self.bbox_head(features, text)
        return boxes.deltas, boxes.centerness, logits


def _only(what: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Nobody would read another entry."""
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f'{what}: {unknown} unknown; allowed are {", ".join(allowed)}')


def _renumbered(
    results: Sequence[InstanceData], classes: Sequence[torch.Tensor]
) -> list[InstanceData]:
    """Numbers of phrases become numbers of classes."""
    for result, numbers in zip(results, classes, strict=True):
        result.labels = numbers.to(result.labels.device)[result.labels]
    return list(results)
