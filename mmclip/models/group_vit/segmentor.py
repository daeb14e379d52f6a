"""GroupViT as a segmentor of MMSegmentation: trains on captions, is tested on masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from PIL import Image

from mmclip.clip.cached_gradients import in_chunks
from mmclip.models.dense.open_vocab_segmentor import integer_labels
from mmclip.models.group_vit.zero_shot import group_maps
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class GroupViTSegmentor(OpenVocabularyMixin, EncoderDecoder):
    """:class:`mmclip.GroupViTBackbone` and :class:`mmclip.GroupViTHead`.

    A batch for training holds images and, in each sample, ``texts``. In testing ``test_cfg`` is
    the host's (``mode='whole'``, or ``'slide'`` with ``crop_size`` and ``stride``) with
    ``bg_thresh``. A window is encoded once: the official code encodes it twice, for its maps and
    for its features.

    In mode ``'whole'`` each sample also gets ``pred_groups``, the group of each pixel.

    Args:
        train_cfg: ``chunk_size``: images at a time in training, see
            :func:`mmclip.clip.cached_gradients.in_chunks`; the head has one for texts.
        kwargs: The host's.
    """

    # For mmclip.ContrastiveBatchHook.
    compares_samples = True
    chunk_hint = 'model.train_cfg.chunk_size (images) and model.decode_head.chunk_size (texts)'

    def update_vocabulary(self, *vocabulary: Any) -> None:
        """Pass it on to the head with what encodes example images, and count its names."""
        self.decode_head.update_vocabulary(*vocabulary, image_encoder=self)
        self.num_classes = self.decode_head.num_classes
        self.out_channels = self.decode_head.out_channels

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """(N, D) L2-normalized features of RGB images, resized to the training size.

        Raises:
            ValueError: under early fusion, where an image has no features without the words.
        """
        if self.decode_head.early_fusion is not None:
            raise ValueError(
                'examples: with early_fusion features depend on the words that an image is '
                'compared with; images cannot stand for classes'
            )
        training = self.training
        self.eval()
        side = self.backbone.img_size
        arrays = [np.asarray(p.convert('RGB').resize((side, side))) for p in images]
        inputs = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        inputs = inputs.to(self.decode_head.logit_scale)
        preprocessor = self.data_preprocessor
        if getattr(preprocessor, '_enable_normalize', False):
            inputs = (inputs - preprocessor.mean.to(inputs)) / preprocessor.std.to(inputs)
        pooled = torch.cat([self.backbone(part).pooled for part in inputs.split(32)])
        features = F.normalize(self.decode_head.image_projector(pooled).float(), dim=1)
        self.train(training)
        return features

    def loss(self, inputs: torch.Tensor, data_samples: Sequence[Any]) -> dict[str, torch.Tensor]:
        """The head's losses of B images and their texts: (B, 3, S, S) with S = ``img_size``."""
        chunk_size = (self.train_cfg or {}).get('chunk_size')
        pooled = in_chunks(lambda part: self.backbone(part).pooled, inputs, chunk_size)
        return self.decode_head.loss(pooled, data_samples, self.train_cfg)

    def _forward(
        self, inputs: torch.Tensor, data_samples: Sequence[Any] | None = None
    ) -> torch.Tensor:
        """(B, 3, H, W) -> (B, m, K) scores of the classes for each group."""
        return self.decode_head(self.extract_feat(inputs), self.test_cfg.get('bg_thresh', 0.95))

    def postprocess_result(
        self, seg_logits: torch.Tensor, data_samples: list | None = None
    ) -> list:
        """The host's."""
        return integer_labels(super().postprocess_result(seg_logits, data_samples))

    def predict(self, inputs: torch.Tensor, data_samples: list | None = None) -> list:
        """The host's samples with ``pred_sem_seg``, and ``pred_groups`` in mode ``'whole'``."""
        if self.test_cfg.get('mode', 'whole') != 'whole' or data_samples is None:
            return super().predict(inputs, data_samples)
        grouping = self.extract_feat(inputs)
        logits = self.decode_head.predict(grouping, [], self.test_cfg)
        if grouping.soft:
            for sample, maps in zip(data_samples, group_maps(grouping), strict=True):
                sample.pred_groups = PixelData(data=_original_size(maps, sample.metainfo))
        return self.postprocess_result(logits, data_samples)


def _original_size(maps: torch.Tensor, meta: Mapping[str, Any]) -> torch.Tensor:
    """(m, H, W) maps of a padded, resized image -> (1, h, w) best group per original pixel."""
    padding = meta.get('img_padding_size') or meta.get('padding_size', [0] * 4)
    left, right, top, bottom = padding
    maps = maps[None, :, top : maps.shape[1] - bottom, left : maps.shape[2] - right]
    if meta.get('flip'):
        maps = maps.flip(3 if meta.get('flip_direction') == 'horizontal' else 2)
    maps = F.interpolate(maps, tuple(meta['ori_shape'][:2]), mode='bilinear', align_corners=False)
    return maps.argmax(1)
