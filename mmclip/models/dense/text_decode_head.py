"""Any decode head of MMSegmentation, with words in place of its last convolution."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.structures import PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmclip.models.dense.pixel_text_classifier import PixelTextClassifier
from mmclip.registry import MODELS
from mmclip.text.class_names import names_at_build
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class TextDecodeHead(OpenVocabularyMixin, BaseModule):
    """Wraps a decode head of the host and swaps its classifier for embedded words.

    The host's head keeps its features, dropout, losses and sampling; its ``conv_seg`` becomes a
    1x1 convolution to the width of the text embeddings and the cosine to them.

    Args:
        head: Config of any mmseg decode head that ends in ``conv_seg``. ``num_classes`` counts as
            long as the dataset has not given its words: the random numbers of the initial weights
            depend on it, nothing else.
        classifier: Config of :class:`mmclip.TextEmbeddingClassifier` without a background.
        early_fusion: As :class:`mmclip.models.dense.pixel_text_classifier.PixelTextClassifier`.
        loss_stride: Pixels between those that the loss looks at: 1 all of them, as the host; 4
            where the head's logits have stride 4 spares their enlargement, at a sixteenth of the
            time and memory for a long list of words.

    Shapes:
        The host's: list of maps -> logits (B, K, H, W).

    Raises:
        ValueError: the head has no ``conv_seg`` of its own, or the classifier has a background; a
            ``loss_stride`` below 1.
    """

    def __init__(
        self,
        *,
        head: dict[str, Any],
        classifier: dict[str, Any],
        early_fusion: dict | None = None,
        loss_stride: int = 1,
    ) -> None:
        super().__init__()
        if loss_stride < 1:
            raise ValueError(f'loss_stride: {loss_stride!r}; allowed are 1 and more')
        self.loss_stride = loss_stride
        names = names_at_build(classifier.get('classes', 'dataset'))
        count = len(names) or head.get('num_classes', 2)
        self.head = MMSEG_MODELS.build({**head, 'num_classes': count, 'out_channels': count})
        last = getattr(self.head, 'conv_seg', None)
        if not isinstance(last, nn.Conv2d):
            raise ValueError(
                f'head: {head["type"]} names pixels by no conv_seg of its own; mmclip.'
                'TextDecodeHead takes heads that end in one, e.g. UPerHead, SegformerHead, FCNHead'
            )
        self.head.conv_seg = PixelTextClassifier(
            channels=last.in_channels, classifier=classifier, early_fusion=early_fusion
        )
        # The host's initialization is for the convolution that is gone.
        if isinstance(self.head.init_cfg, dict) and 'override' in self.head.init_cfg:
            self.head.init_cfg = None

    @property
    def align_corners(self) -> bool:
        """How the host resizes its logits."""
        return self.head.align_corners

    @property
    def num_classes(self) -> int:
        """K."""
        return self.head.num_classes

    @property
    def out_channels(self) -> int:
        """K."""
        return self.head.out_channels

    # One word alone: the host's rule for one channel then gives it every pixel.
    threshold = math.inf

    def update_vocabulary(self, *vocabulary: Any) -> None:
        """Pass it on and count its names."""
        super().update_vocabulary(*vocabulary)
        self.count_classes()

    def count_classes(self) -> None:
        """Tell the host how many words there are."""
        self.head.num_classes = self.head.out_channels = self.head.conv_seg.num_classes

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """List of maps -> logits (B, K, H, W)."""
        return self.head(inputs)

    def loss(self, inputs: Sequence[torch.Tensor], data_samples: list, train_cfg: dict) -> dict:
        """The host's losses, of every ``loss_stride``-th pixel."""
        if self.loss_stride > 1:
            data_samples = [self._subsample_mask(sample) for sample in data_samples]
        return self.head.loss(inputs, data_samples, train_cfg)

    def _subsample_mask(self, sample: SegDataSample) -> SegDataSample:
        """The middle pixel of each cell of the mask."""
        cells = slice(self.loss_stride // 2, None, self.loss_stride)
        thin = SegDataSample(metainfo=sample.metainfo)
        thin.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[:, cells, cells])
        return thin

    def predict(
        self, inputs: Sequence[torch.Tensor], metas: list[dict], test_cfg: dict
    ) -> torch.Tensor:
        """The host's logits, resized to the image."""
        return self.head.predict(inputs, metas, test_cfg)
