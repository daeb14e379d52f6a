"""LSeg's head: a dense embedding of every pixel, compared with the words of the labels."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead

from mmclip.models.dense.pixel_text_classifier import PixelTextClassifier
from mmclip.models.lseg.decoder import DPTDecoder
from mmclip.models.lseg.head_block import HeadBlock
from mmclip.models.lseg.reassemble import Reassemble
from mmclip.registry import MODELS
from mmclip.text.class_names import names_at_build
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class LSegHead(OpenVocabularyMixin, BaseDecodeHead):
    """Reassembles and fuses four maps, names every pixel by the cosine to the embedded words.

    logits = up(block(normalize(conv(path)) . normalize(text) / temperature)), up bilinear x2 with
    aligned corners; the temperature is constant (0.07 in the paper: the official scale is a plain
    tensor that no optimizer sees).

    Source: LSeg (arXiv 2201.03546) section 3. The official code multiplies in half precision, here
    in float32 (they differ by about 2e-3). The zero-shot models compare two words per image:
    ``two_way``.

    Args:
        in_channels: C_l of the four maps, or C of the tokens four times.
        classifier: Config of :class:`mmclip.TextEmbeddingClassifier`.
        reassemble: Arguments of :class:`mmclip.models.lseg.reassemble.Reassemble` but
            ``in_channels``, for a backbone that gives tokens; None for one that gives maps.
        channels: C of the decoder.
        head_block: Arguments of :class:`mmclip.models.lseg.head_block.HeadBlock`; None for none.
        early_fusion: As :class:`mmclip.models.dense.pixel_text_classifier.PixelTextClassifier`.
        two_way: The protocol of the folds: each image is asked for one class, ``class_id`` in
            its meta information; channel 0 is the first word of the list (the background), channel
            1 that class (word ``class_id + 1``).
        num_classes: As long as the dataset has not given its words; the random numbers of the
            initial weights depend on it, nothing else.
        loss_stride: Pixels between those that the loss looks at: 1 all of them; 2 before the last
            x2 upsampling, at a quarter of the time and memory for a long list of words; 4 every
            second of these, and so on. The paper has 1.
        kwargs: The host's.

    Shapes:
        Four maps (B, C_l, H_l, W_l), or four pairs of tokens -> (B, K, H, W), or (B, 2, H, W).

    Raises:
        ValueError: a sample without ``class_id`` under ``two_way``, or one outside the list; a
            ``loss_stride`` that is neither 1 nor even; a ``sampler``.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        classifier: dict[str, Any],
        reassemble: dict[str, Any] | None = None,
        channels: int = 256,
        head_block: dict[str, Any] | None = None,
        early_fusion: dict[str, Any] | None = None,
        two_way: bool = False,
        num_classes: int = 2,
        loss_stride: int = 1,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if loss_stride != 1 and (loss_stride < 2 or loss_stride % 2):
            raise ValueError(f'loss_stride: {loss_stride!r}; allowed are 1, 2, 4, 6, ...')
        names = names_at_build(classifier.get('classes', 'dataset'))
        count = 2 if two_way else len(names) or num_classes
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=count,
            out_channels=count,
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            align_corners=True,
            init_cfg=None,
            **kwargs,
        )
        self.threshold = math.inf  # one word alone: the host's rule gives it every pixel
        if self.sampler is not None:
            raise ValueError('sampler: LSegHead weighs no pixels; take it out of the config')
        self.two_way = two_way
        self.loss_stride = loss_stride
        self.reassemble = None
        if reassemble is not None:
            self.reassemble = Reassemble(in_channels=in_channels[0], **reassemble)
            in_channels = reassemble['channels']
        self.decoder = DPTDecoder(in_channels=in_channels, channels=channels, norm_cfg=norm_cfg)
        self.conv_seg = PixelTextClassifier(
            channels=channels, classifier=classifier, early_fusion=early_fusion
        )
        self.head_block = HeadBlock(**head_block) if head_block is not None else None

    def update_vocabulary(self, *vocabulary: Any) -> None:
        """Pass it on and count its names."""
        super().update_vocabulary(*vocabulary)
        self.count_classes()

    def count_classes(self) -> None:
        """Tell the host how many words there are."""
        if not self.two_way:
            self.num_classes = self.out_channels = self.conv_seg.num_classes

    def maps(self, inputs: Sequence) -> Sequence[torch.Tensor]:
        """What the backbone gives as maps of strides 4 to 32."""
        inputs = self._transform_inputs(inputs)
        return inputs if self.reassemble is None else self.reassemble(inputs)

    def coarse(
        self, inputs: Sequence, pairs: torch.Tensor | None = None, step: int = 1
    ) -> torch.Tensor:
        """Logits (B, K, H / 2, W / 2), of every ``step``-th pixel."""
        features = self.decoder(self.maps(inputs))
        if self.head_block is None:
            return self.conv_seg(features[:, :, ::step, ::step], pairs)
        return self.head_block(self.conv_seg(features, pairs))[:, :, ::step, ::step]

    def forward(self, inputs: Sequence, pairs: torch.Tensor | None = None) -> torch.Tensor:
        """Outputs of the backbone -> logits (B, K, H, W), or (B, P, H, W) of ``pairs`` (B, P)."""
        logits = self.coarse(inputs, pairs)
        return F.interpolate(logits, scale_factor=2, mode='bilinear', align_corners=True)

    def pairs(self, metas: Sequence[dict]) -> torch.Tensor | None:
        """(B, 2) words that each image is compared with under ``two_way``, else None."""
        if not self.two_way:
            return None
        missing = [meta.get('img_path') for meta in metas if meta.get('class_id') is None]
        if missing:
            raise ValueError(
                f'two_way: {missing[0]} names no class_id; take mmclip.FoldSegDataset and keep '
                "'class_id' among the meta_keys of PackSegInputs"
            )
        words = torch.tensor([[0, int(meta['class_id']) + 1] for meta in metas])
        if int(words.min()) < 0 or int(words.max()) >= self.conv_seg.num_classes:
            raise ValueError(
                f'two_way: class_id {int(words.max()) - 1} is not in the list of '
                f'{self.conv_seg.num_classes - 1} classes behind the background'
            )
        return words.to(self.conv_seg.projection.weight.device)

    def loss(self, inputs: Sequence, batch_data_samples: list, train_cfg: Any) -> dict:
        """The configured losses of the logits, and the share of pixels that are named right."""
        pairs = self.pairs([sample.metainfo for sample in batch_data_samples])
        target = self._stack_batch_gt(batch_data_samples)[:, 0]
        if self.loss_stride == 1:
            return self.losses_of(self(inputs, pairs), target)
        stride = self.loss_stride
        logits, target = self.coarse(inputs, pairs, stride // 2), target[:, ::stride, ::stride]
        return self.losses_of(logits, target)

    def losses_of(self, logits: torch.Tensor, target: torch.Tensor) -> dict:
        """(B, K, H, W), (B, H, W); the host would resize the logits even to their own size."""
        if logits.shape[2:] != target.shape[1:]:
            logits = F.interpolate(
                logits, size=target.shape[1:], mode='bilinear', align_corners=True
            )
        single = not isinstance(self.loss_decode, torch.nn.ModuleList)
        losses: dict[str, torch.Tensor] = {}
        for loss in [self.loss_decode] if single else self.loss_decode:
            value = loss(logits, target, ignore_index=self.ignore_index)
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + value
        valid = target != self.ignore_index
        hits = (logits.argmax(1) == target) & valid
        losses['acc_seg'] = 100 * hits.sum() / valid.sum().clamp(min=1)
        return losses

    def predict(self, inputs: Sequence, batch_img_metas: list[dict], test_cfg: Any) -> torch.Tensor:
        """Logits at the size of the image."""
        logits = self(inputs, self.pairs(batch_img_metas))
        return self.predict_by_feat(logits, batch_img_metas)
