"""ActionCLIP: names what a video shows by comparing it with sentences."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from PIL import Image
from torch import nn

from mmclip.clip.loading import clip_preprocess
from mmclip.models.action_clip.base import Samples, VideoRecognizer, labels_of, load_towers
from mmclip.models.action_clip.text_prompts import action_prompts
from mmclip.models.action_clip.text_tower import ActionTextTower
from mmclip.models.action_clip.video_tower import VideoTower
from mmclip.registry import MODELS
from mmclip.vocabulary.embedding_cache import EmbeddingCache
from mmclip.vocabulary.exemplars import encode_examples
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts


def class_scores(
    videos: torch.Tensor, texts: torch.Tensor, *, scale: float = 100.0
) -> torch.Tensor:
    r"""Probabilities of K classes, averaged over prompts and views.

    .. math:: s_k = \frac{1}{V P} \sum_{v, p} softmax_k(100 \cos(video_v, text_{p k}))

    Source: the official ``test.py``: probabilities are averaged, not features, and the scale is the
    constant 100, not the learned one. Views as in MMAction2 (the official code knows one).

    Args:
        videos, texts: L2-normalized.
        scale: Of the cosines.

    Shapes:
        videos (B, V, D), texts (P, K, D) -> (B, K).
    """
    logits = scale * torch.einsum('bvd,pkd->bvpk', videos.float(), texts.float())
    return logits.softmax(-1).mean((1, 2))


@MODELS.register_module()
class ActionCLIPRecognizer(OpenVocabularyMixin, VideoRecognizer):
    """Matches videos with sentences about actions; trained on pairs, zero-shot for other names.

    Training: one random template per video and step, both towers trained, multi-positive KL loss
    (:class:`mmclip.MultiPositiveKLLoss`). Test: :func:`class_scores` over all templates; the
    features of the sentences are computed once per vocabulary and set of weights.

    Source: "ActionCLIP: A New Paradigm for Video Action Recognition", Wang et al., arXiv
    2109.08472.

    Args:
        model: CLIP's architecture: open_clip name, ``'mini_clip'``, or a dict.
        pretrained: CLIP's weights: open_clip tag, ``'mini_clip'``, file or folder; None: random.
        num_frames: T.
        classes: Class names or a known vocabulary; None: the dataset's, by ``set_classes``
            (:class:`mmclip.VocabularyHook`).
        prompts: As :func:`mmclip.models.action_clip.text_prompts.action_prompts`.
        image_tower: ``'clip'``, ``'random'`` or ``dict(name=...)``, a timm model.
        text_tower: ``'clip'``, ``'random'`` or ``dict(name=...)``, one of transformers'.
        pre_prompt, in_prompt, shift_div, post_prompt, drop_out, norm_eval, with_cp: As
            :class:`mmclip.models.action_clip.video_tower.VideoTower`.
        fix_image: The image tower is not trained.
        fix_text: The text tower is not trained; its features come from the cache in training too.
        loss: Config of the loss.
        score_scale: Of the cosines at test time.
        data_preprocessor: None takes the CLIP's own mean and std.

    Shapes:
        inputs (B, V * T, 3, H, W): V views of T frames.

    Raises:
        ValueError: bad names, prompts or towers.
    """

    compares_samples = True  # for mmclip.ContrastiveBatchHook

    def __init__(
        self,
        *,
        model: str | dict,
        num_frames: int,
        pretrained: str | None = None,
        classes: str | Sequence[str] | None = None,
        prompts: str | Sequence[str] = 'action_clip_16',
        image_tower: str | dict = 'clip',
        text_tower: str | dict = 'clip',
        pre_prompt: str | None = None,
        in_prompt: str | None = None,
        shift_div: int = 8,
        post_prompt: dict | None = None,
        drop_out: float = 0.0,
        norm_eval: bool = False,
        with_cp: bool = False,
        fix_image: bool = False,
        fix_text: bool = False,
        loss: dict | None = None,
        score_scale: float = 100.0,
        data_preprocessor: dict | None = None,
    ) -> None:
        action_prompts(prompts)
        video = VideoTower(
            model=model,
            num_frames=num_frames,
            tower=image_tower,
            pre_prompt=pre_prompt,
            in_prompt=in_prompt,
            shift_div=shift_div,
            post_prompt=post_prompt,
            drop_out=drop_out,
            norm_eval=norm_eval,
            with_cp=with_cp,
            frozen=fix_image,
        )
        super().__init__(
            video=video, model=model, pretrained=pretrained, data_preprocessor=data_preprocessor
        )
        self.text = ActionTextTower(model=model, tower=text_tower)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.loss_module = MODELS.build(loss or dict(type='mmclip.MultiPositiveKLLoss'))
        self.score_scale = score_scale
        self.fix_text = fix_text
        if fix_text:
            self.text.requires_grad_(False)
        self.prompts = prompts
        self.class_names: tuple[str, ...] = ()
        self._examples: Any = None
        self._ids: torch.Tensor | None = None
        self.cache = EmbeddingCache()  # of sentences
        if classes is not None:
            self.set_classes(classes)

    # -- weights -----------------------------------------------------------------------------------

    def load_pretrained(self) -> None:
        """Fill the towers from where each says."""
        if self.pretrained is not None:
            scale = load_towers(self.model, self.pretrained, self.video, self.text)
            if self.text.source == 'clip':
                self.logit_scale.data.copy_(scale)
        self.video.init_weights()
        self.text.init_weights()
        self.cache.clear()

    def train(self, mode: bool = True) -> 'ActionCLIPRecognizer':
        """As every module's, but a fixed text tower stays in eval mode."""
        super().train(mode)
        if self.fix_text:
            self.text.eval()
        return self

    # -- vocabulary --------------------------------------------------------------------------------

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """Encode them when they are next needed.

        Examples are videos of one frame and count at test time; training knows the words alone.
        """
        prompts = self.prompts if prompts is None else prompts
        # Examples by identity: arrays of images do not compare.
        same = examples is self._examples
        if same and (names, prompts) == (self.class_names, self.prompts):
            return
        action_prompts(prompts)
        self.class_names, self.prompts, self._examples = names, prompts, examples
        self._ids = None
        self.cache.clear()

    def token_ids(self) -> torch.Tensor:
        """(P, K, T) ids of all sentences, on the CPU; tokenized once.

        Raises:
            ValueError: no classes yet.
        """
        if not self.class_names:
            raise ValueError(
                'classes: the model has none; give classes=... , call set_classes, or put '
                'mmclip.VocabularyHook into custom_hooks'
            )
        if self._ids is None:
            rows = zip(*map(action_prompts(self.prompts).format, self.class_names), strict=True)
            sentences = [sentence for row in rows for sentence in row]
            ids = self.text.tokenize(sentences)
            self._ids = ids.unflatten(0, (-1, len(self.class_names)))
        return self._ids

    def text_features(self) -> torch.Tensor:
        """(P, K, D) normalized features of all classes; kept until weights or words change."""
        if not self._examples:
            return self._word_features()
        return self.cache.get('classes', self, self._with_examples)

    def _word_features(self) -> torch.Tensor:
        return self.cache.get('words', self.text, self._encode_words)

    @torch.no_grad()
    def _encode_words(self) -> torch.Tensor:
        with torch.autocast(self.logit_scale.device.type, enabled=False):
            return F.normalize(self.text.encode_all(self.token_ids()), dim=-1)

    @torch.no_grad()
    def _with_examples(self) -> torch.Tensor:
        """The rows of classes that images stand for, in every template."""
        with torch.autocast(self.logit_scale.device.type, enabled=False):
            features = self._word_features().clone()
            images, with_words = encode_examples(self, self.class_names, self._examples)
            for name, row in images.items():
                place, row = self.class_names.index(name), row.to(features)
                if name in with_words:
                    row = F.normalize(features[:, place] + row, dim=-1)
                features[:, place] = row
        return features

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """L2-normalized features (N, D) of images as videos of one frame."""
        size = clip_preprocess(self.model, self.pretrained)['size']
        frames = torch.stack([_to_frame(image, size) for image in images])
        frames = frames.to(self.logit_scale.device)[:, None]  # (N, 1, 3, S, S)
        prepared = self.data_preprocessor.preprocess(list(frames), None)[0]
        return F.normalize(self.video(prepared).float(), dim=-1)

    # -- modes -------------------------------------------------------------------------------------

    def loss(self, inputs: torch.Tensor, data_samples: Samples) -> dict[str, torch.Tensor]:
        """The loss of B videos, each with one sentence about (one of) its actions.

        Shapes:
            inputs (B, T, 3, H, W); ``gt_label`` one number, or (K,) multi-hot.

        Returns:
            ``loss_kl``, and for the log ``logit_scale``.
        """
        labels = torch.zeros(0, dtype=torch.long)
        if data_samples:
            labels = labels_of(data_samples).cpu()  # waits for an accelerator once
        spoken = labels
        if labels.ndim == 2:  # one of the video's actions, at random
            chances = torch.rand(get_world_size(), *labels.shape)[get_rank()]
            spoken = (chances + (labels > 0)).argmax(1)
        self._check_labels(spoken)
        videos = self.video_features(inputs)
        if videos.shape[1] != 1:
            raise ValueError(f'inputs: {videos.shape[1]} views; training takes one')
        texts = self._sentences(spoken)
        loss = self.loss_module(
            videos[:, 0],
            texts,
            self.logit_scale.exp(),
            labels.to(videos.device),
            spoken.to(videos.device),
        )
        return dict(loss_kl=loss, logit_scale=self.logit_scale.detach().exp())

    def _check_labels(self, labels: torch.Tensor) -> None:
        count = len(self.class_names)
        if count and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < count:
            raise ValueError(
                f'gt_label: {int(labels.min())} to {int(labels.max())}; the model has {count} '
                'classes'
            )

    def _sentences(self, labels: torch.Tensor) -> torch.Tensor:
        """L2-normalized features (B, D) of one random sentence per label, equal ones made once.

        The labels are on the CPU.
        """
        ids = self.token_ids()
        # MMEngine gives all processes one seed: each takes its part of what the joined batch draws.
        template = torch.randint(len(ids), (get_world_size(), len(labels)))[get_rank()]
        device = self.logit_scale.device
        if self.fix_text:
            return self._word_features()[template.to(device), labels.to(device)]
        pairs, place = torch.unique(torch.stack([template, labels], 1), dim=0, return_inverse=True)
        features = self.text(ids[pairs[:, 0], pairs[:, 1]])
        return F.normalize(features.float(), dim=-1)[place.to(device)]

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, K), averaged over prompts and views."""
        return class_scores(
            self.video_features(inputs), self.text_features(), scale=self.score_scale
        )


def _to_frame(image: Image.Image, size: int) -> torch.Tensor:
    """(3, S, S) uint8: short side to S, center crop."""
    from mmclip.datasets.transforms.clip_image import resize_crop

    return torch.from_numpy(resize_crop(image, size).copy()).permute(2, 0, 1)
