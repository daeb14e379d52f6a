"""MMSegmentation's encoder-decoder with a vocabulary instead of a list of classes."""

from functools import partial
from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder

from mmclip.models.dense.multi_scale import multi_scale_logits
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


def _count_loaded(model: 'OpenVocabSegmentor', incompatible_keys: Any) -> None:
    """A checkpoint brings its words. (A function of the module, since models are pickled.)"""
    model._count_classes()


@MODELS.register_module()
class OpenVocabSegmentor(OpenVocabularyMixin, EncoderDecoder):
    """Any backbone and neck with decode heads that name pixels by words.

    Heads are :class:`mmclip.LSegHead` or :class:`mmclip.TextDecodeHead`. ``test_cfg`` knows beside
    the host's modes ``'whole'`` and ``'slide'``:

    - ``mode='multi_scale'`` with ``base_size``, ``crop_size``, ``scales``, ``flip`` and
      ``stride_rate``, see :func:`mmclip.models.dense.multi_scale.multi_scale_logits`;
    - ``rescale=False``: predictions stay in the frame of the network's input instead of being
      resized to the original image (the protocol of the folds).

    Args:
        kwargs: The host's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_load_state_dict_post_hook(_count_loaded)

    def _count_classes(self) -> None:
        for head in self.vocabulary_parts:
            if hasattr(head, 'count_classes') and self.class_names:
                head.count_classes()
        self.num_classes = self.decode_head.num_classes
        self.out_channels = self.decode_head.out_channels

    def update_vocabulary(self, *vocabulary: Any) -> None:
        """Pass it on to all heads and count its names."""
        super().update_vocabulary(*vocabulary)
        self._count_classes()

    def inference(self, inputs: torch.Tensor, batch_img_metas: list[dict]) -> torch.Tensor:
        """(B, 3, H, W) -> (B, K, H, W) logits, by the mode of ``test_cfg``."""
        if self.test_cfg.get('mode', 'whole') != 'multi_scale':
            return super().inference(inputs, batch_img_metas)
        options = {k: v for k, v in self.test_cfg.items() if k not in ('mode', 'rescale')}
        return multi_scale_logits(
            partial(self._network, batch_img_metas),
            inputs,
            fill=self._black().to(inputs),
            **options,
        )

    def _network(self, metas: list[dict], image: torch.Tensor) -> torch.Tensor:
        # A torch.Size is how the host tells a window from an image.
        metas = [{**meta, 'img_shape': image.shape[2:]} for meta in metas]
        return self.encode_decode(image, metas)

    def _black(self) -> torch.Tensor:
        """(3,) what a black pixel is after normalization."""
        preprocessor = self.data_preprocessor
        if not getattr(preprocessor, '_enable_normalize', False):
            return torch.zeros(3)
        return (-preprocessor.mean / preprocessor.std).flatten()

    def postprocess_result(
        self, seg_logits: torch.Tensor, data_samples: list | None = None
    ) -> list:
        """The host's; with ``rescale=False`` in ``test_cfg`` nothing is resized."""
        if data_samples is not None and not self.test_cfg.get('rescale', True):
            for sample in data_samples:
                top_left = sample.metainfo.get('img_padding_size') or sample.metainfo.get(
                    'padding_size', [0] * 4
                )
                left, right, top, bottom = top_left
                height, width = seg_logits.shape[2:]
                frame = (height - top - bottom, width - left - right)
                sample.set_metainfo(dict(ori_shape=frame))
        return integer_labels(super().postprocess_result(seg_logits, data_samples))


def integer_labels(samples: list) -> list:
    """Samples with int64 ``pred_sem_seg``; the host's of one word alone are floats."""
    for sample in samples:
        sample.pred_sem_seg.data = sample.pred_sem_seg.data.long()
    return samples
