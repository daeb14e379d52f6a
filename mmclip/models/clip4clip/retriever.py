"""CLIP4Clip: finds videos by sentences and sentences by videos."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.clip.causal_text import encode_causal, encode_tokens
from mmclip.clip.causal_tower import causal_tower
from mmclip.clip.contrastive_loss import MAX_LOG_SCALE
from mmclip.clip.layers import QuickGELU, VisionTransformer
from mmclip.clip.loading import (
    build_clip,
    clip_config,
    clip_preprocess,
    clip_tokenizer,
)
from mmclip.clip.pretrained import FrozenMixin, PretrainedMixin
from mmclip.models.clip4clip.frame_tower import frame_features
from mmclip.models.clip4clip.freeze import freeze
from mmclip.models.clip4clip.patch_3d import Patch3D
from mmclip.registry import MODELS

Samples = list[BaseDataElement]
Inputs = torch.Tensor | dict[str, torch.Tensor]


def video_text_preprocessor(model: str | dict, pretrained: str | None = None) -> dict:
    """A CLIP's mean and std for RGB uint8 frames."""
    settings = clip_preprocess(model, pretrained)
    return dict(
        type='mmclip.VideoTextPreprocessor',
        mean=[255 * value for value in settings['mean']],
        std=[255 * value for value in settings['std']],
    )


@MODELS.register_module()
class CLIP4Clip(FrozenMixin, PretrainedMixin, BaseModel):
    """CLIP's towers on frames and sentences, and one of four ways to compare them.

    Source: "CLIP4Clip: An Empirical Study of CLIP for End to End Video Clip Retrieval", Luo et al.,
    arXiv 2104.08860.

    Args:
        model: CLIP's architecture: open_clip name, ``'mini_clip'``, or a dict.
        pretrained: CLIP's weights: open_clip tag, ``'mini_clip'``, file or folder; None: random.
        sim_head: Config without sizes of ``mmclip.MeanPHead`` (default), ``SeqLSTMHead``,
            ``SeqTransfHead`` or ``TightTransfHead``.
        linear_patch: ``'2d'``, or ``'3d'`` for :class:`mmclip.models.clip4clip.patch_3d.Patch3D`.
        patch_init: How that starts: ``'center'`` or ``'average'``.
        freeze_layer_num: Blocks of either tower that are not trained; 0 freezes patches, tokens and
            positions, -1 nothing.
        official_3d_freeze: Whether ``linear_patch='3d'`` trains everything, as officially.
        max_words: Tokens of a sentence, both ends counted; None: what the tower takes. What is
            longer is cut, its end token stays.
        frame_chunk: Frames that go through the image tower at once, in training recomputed in the
            backward pass; None: all.
        with_cp: Recompute the blocks of the image tower in the backward pass to save memory.
        norm_eval: Batch norms of the image tower stay in eval mode.
        loss: Config of the loss.
        data_preprocessor: None takes the CLIP's own mean and std.

    Shapes:
        inputs: dict of ``frames`` (B, T, 3, H, W), normalized, zeros as padding, and ``mask``
        (B, T) bool, real frames first; or the frames alone, all real.

    Raises:
        ValueError: settings that are not known or do not fit the model.
    """

    frozen_part = 'clip.visual'
    # For mmclip.ContrastiveBatchHook.
    compares_samples = True
    chunk_hint = 'model.frame_chunk (frames at a time)'

    def __init__(
        self,
        *,
        model: str | dict,
        pretrained: str | None = None,
        sim_head: dict | None = None,
        linear_patch: str = '2d',
        patch_init: str = 'center',
        freeze_layer_num: int = -1,
        official_3d_freeze: bool = False,
        max_words: int | None = 32,
        frame_chunk: int | None = None,
        with_cp: bool = False,
        norm_eval: bool = False,
        loss: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or video_text_preprocessor(model, pretrained))
        config = clip_config(model)
        context = config['text_cfg'].get('context_length', 77)
        if max_words is not None and not 2 < max_words <= context:
            raise ValueError(f'max_words: {max_words}; {model!r} takes 3 to {context}')
        self.model = model
        self.pretrained = pretrained
        self.max_words = max_words or context
        self.frame_chunk = frame_chunk
        self.norm_eval = norm_eval
        self.embed_dim = config['embed_dim']
        self.clip = build_clip(model)
        is_vit = isinstance(self.clip.visual, VisionTransformer)
        if linear_patch not in ('2d', '3d'):
            raise ValueError(f"linear_patch: {linear_patch!r} is neither '2d' nor '3d'")
        for name, wanted in (
            ("linear_patch: '3d'", linear_patch == '3d'),
            (f'freeze_layer_num: {freeze_layer_num}', freeze_layer_num >= 0),
        ):
            if wanted and not is_vit:
                kind = type(self.clip.visual).__name__
                raise ValueError(f'{name} needs a CLIP with a ViT; {model!r} has a {kind}')
        self.patch_3d = None
        if linear_patch == '2d' and patch_init != 'center':
            raise ValueError(f"patch_init: {patch_init!r} needs linear_patch='3d', which starts so")
        if linear_patch == '3d':
            conv = self.clip.visual.conv1
            self.patch_3d = Patch3D(
                width=conv.out_channels, patch=conv.kernel_size[0], init=patch_init
            )
            conv.requires_grad_(False)  # not used
        head = sim_head or dict(type='mmclip.MeanPHead')
        self.sim_head = MODELS.build(dict(head, embed_dim=self.embed_dim))
        self.loss_module = MODELS.build(loss or dict(type='mmclip.VideoTextLoss'))
        if official_3d_freeze and self.patch_3d is None:
            raise ValueError("official_3d_freeze: True needs linear_patch='3d'")
        if not official_3d_freeze:
            freeze(self.clip, freeze_layer_num)
        if not self.sim_head.is_loose:
            self.clip.logit_scale.requires_grad_(False)  # not used
        if with_cp:
            self.clip.visual.set_grad_checkpointing(True)
        self._tokenizer = None
        self.register_load_state_dict_post_hook(CLIP4Clip._loaded)

    # -- weights -----------------------------------------------------------------------------------

    @staticmethod
    def _loaded(module: 'CLIP4Clip', incompatible: Any) -> None:
        """Start from a file's CLIP what the file does not bring."""
        missing = [name.removeprefix('module.') for name in incompatible.missing_keys]
        if any(name.startswith('clip.') for name in missing):
            return
        module.is_filled = True
        module._start(
            patch='patch_3d.weight' in missing,
            head=any(name.startswith('sim_head.') for name in missing),
        )

    def _start(self, *, patch: bool = True, head: bool = True) -> None:
        if patch and self.patch_3d is not None:
            self.patch_3d.start_from(self.clip.visual.conv1)
        if head:
            self.sim_head.start_from(causal_tower(self.clip))

    def load_pretrained(self) -> None:
        """Fill the towers, and start the rest from them.

        Raises:
            ValueError: weights of another activation than the model's.
        """
        if self.pretrained is not None:
            source = build_clip(self.model, self.pretrained)
            if _quick_gelu(source) != _quick_gelu(self.clip):
                raise ValueError(
                    f'model: the weights {self.pretrained} were trained with QuickGELU, '
                    f"{self.model!r} is built without; use the name with '-quickgelu' at its end "
                    '(or quick_gelu=True in a dict)'
                )
            self.clip.load_state_dict(source.state_dict())
        self._start()

    # -- towers ------------------------------------------------------------------------------------

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, max_words) int64 ids; a sentence that is longer is cut before its end token."""
        if self._tokenizer is None:
            self._tokenizer = clip_tokenizer(self.model)
        return self._tokenizer(list(texts), self.max_words)

    def encode_texts(self, texts: Sequence[str] | torch.Tensor) -> torch.Tensor:
        """Raw features (N, D) of sentences, or of their ids (N, L); padding is not run."""
        ids = texts if isinstance(texts, torch.Tensor) else self.tokenize(texts)
        if not len(ids):
            return self.clip.logit_scale.new_zeros(0, self.embed_dim)
        tower = causal_tower(self.clip)
        if tower is not None and not torch.is_grad_enabled():
            return encode_causal(tower, [ids])[0]
        return encode_tokens(self.clip, ids)

    def encode_frames(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw features (B, T, D) of frames, zero where padded, and the mask (B, T).

        Raises:
            ValueError: no such inputs.
        """
        frames = inputs['frames'] if isinstance(inputs, dict) else inputs
        mask = inputs['mask'].bool() if isinstance(inputs, dict) else None
        if frames.ndim != 5 or (mask is not None and mask.shape != frames.shape[:2]):
            shapes = [tuple(part.shape) for part in (frames, mask) if part is not None]
            raise ValueError(f'inputs: {shapes}; expected frames (B, T, 3, H, W) and mask (B, T)')
        if mask is None:
            mask = frames.new_ones(frames.shape[:2], dtype=torch.bool)
        features = frame_features(
            self.clip.visual,
            frames,
            mask,
            embed_dim=self.embed_dim,
            patch_3d=self.patch_3d,
            chunk=self.frame_chunk,
        )
        return features, mask

    # -- modes -------------------------------------------------------------------------------------

    def forward(
        self, inputs: Inputs, data_samples: Samples | None = None, mode: str = 'tensor'
    ) -> torch.Tensor | dict[str, torch.Tensor] | Samples:
        """Features of videos, losses, or samples with features.

        Args:
            inputs: As the class says.
            data_samples: B samples with ``texts``, a list of sentences.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Shapes:
            ``'tensor'``: (B, D) L2-normalized of a loose head, (B, T, D) raw of the tight one.

        Raises:
            ValueError: another mode; samples without texts.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode: {mode!r} is none of 'tensor', 'loss', 'predict'")
        self.init_weights()
        if mode == 'tensor':
            frames, mask = self.encode_frames(inputs)
            return self.sim_head(frames, mask) if self.sim_head.is_loose else frames
        if data_samples is None or any(getattr(s, 'texts', None) is None for s in data_samples):
            raise ValueError(
                f'data_samples: mode {mode!r} needs texts in each; mmclip.PackTextVideo packs them'
            )
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.predict(inputs, data_samples)

    def loss(self, inputs: Inputs, data_samples: Samples) -> dict[str, torch.Tensor]:
        """The loss of B videos with one sentence each.

        Returns:
            ``loss_retrieval``, and for the log ``logit_scale`` of a loose head.

        Raises:
            ValueError: a sample with several sentences.
        """
        counts = {len(sample.texts) for sample in data_samples}
        if counts - {1}:
            raise ValueError(
                f'data_samples: {sorted(counts)} texts per video; training takes one (the dataset '
                'with test_mode=False)'
            )
        # As after each step of the optimizer, in front of the first use of the new value.
        self.clip.logit_scale.data.clamp_(max=MAX_LOG_SCALE)
        frames, mask = self.encode_frames(inputs)
        texts = self.encode_texts([sample.texts[0] for sample in data_samples])
        return self.loss_of_features(texts, frames, mask)

    def loss_of_features(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """As :meth:`loss`, of raw features (B, D) and (B, T, D) with their mask (B, T)."""
        with torch.autocast(frames.device.type, enabled=False):
            texts, frames = texts.float(), frames.float()
            if not self.sim_head.is_loose:
                head = self.sim_head.all_pairs
                return dict(loss_retrieval=self.loss_module.tight(head, texts, frames, mask))
            videos = self.sim_head(frames, mask)
            scale = self.clip.logit_scale.exp()
            loss = self.loss_module.loose(F.normalize(texts, dim=-1), videos, scale)
        return dict(loss_retrieval=loss, logit_scale=scale.detach())

    def similarity(
        self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Scores of all pairs: raw features (A, D), (B, T, D), (B, T) -> (A, B) float32."""
        if not self.sim_head.is_loose:
            return self.sim_head(texts, frames, mask)
        videos = self.sim_head(frames, mask)
        return self.clip.logit_scale.exp().float() * F.normalize(texts.float(), dim=-1) @ videos.T

    def predict(self, inputs: Inputs, data_samples: Samples) -> Samples:
        """Samples with what :class:`mmclip.VideoRetrieval` compares.

        ``text_features`` (n, D) of the video's n sentences, and of a loose head, both normalized,
        ``video_feature`` (D,), of the tight one, both raw, ``frame_features`` (T, D) of its real
        frames. ``num_frames`` tells whether it has any.
        """
        frames, mask = self.encode_frames(inputs)
        texts = self.encode_texts([text for sample in data_samples for text in sample.texts])
        loose = self.sim_head.is_loose
        if loose:
            texts, videos = F.normalize(texts.float(), dim=-1), self.sim_head(frames, mask)
        parts = texts.split([len(sample.texts) for sample in data_samples])
        counts = mask.sum(1).tolist()
        for i, (sample, own) in enumerate(zip(data_samples, parts, strict=True)):
            sample.text_features = own
            sample.num_frames = counts[i]
            if loose:
                sample.video_feature = videos[i]
            else:
                sample.frame_features = frames[i, : sample.num_frames]
        return data_samples


def _quick_gelu(clip: nn.Module) -> bool:
    return any(isinstance(module, QuickGELU) for module in clip.modules())
