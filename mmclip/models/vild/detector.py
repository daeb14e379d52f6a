"""Any two-stage detector of the host, with a vocabulary instead of a list of classes."""

from collections.abc import Sequence

import torch
from mmdet.models.detectors.two_stage import TwoStageDetector
from mmdet.structures import SampleList

from mmclip.models.vild.bbox_head import ViLDBBoxHead
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


def refuse_texts(samples: SampleList, known: Sequence[str]) -> None:
    """Samples may bring the classes of the vocabulary, as mmdet's datasets do, and no other text.

    Raises:
        ValueError: mmdet's ``text_prompt=`` or ``texts=``.
    """
    for sample in samples:
        text = sample.get('text')
        if text is not None and (isinstance(text, str) or set(text) != set(known)):
            raise ValueError(
                f'text_prompt, texts: ViLD does not read {str(text)[:80]!r} with an image; call '
                'model.set_classes(names) once (GLIPDetector and GLIPv2Detector read texts)'
            )


@MODELS.register_module()
class ViLD(OpenVocabularyMixin, TwoStageDetector):
    """Two-stage open-vocabulary detector.

    Backbone, neck, RPN and RoI head are the host's or mmclip's, by config; the box heads are
    :class:`mmclip.models.vild.bbox_head.ViLDBBoxHead`.

    Source: ViLD (arXiv 2104.13921), figure 2.

    Args:
        kwargs: The host's.
    """

    def set_novel_classes(self, names: Sequence[str]) -> None:
        """Tell the box heads whose ``novel_classes`` is ``'dataset'`` which classes are novel.

        Args:
            names: Names; those that are not in the vocabulary do not matter.
        """
        for head in self.modules():
            if isinstance(head, ViLDBBoxHead) and head.mask_novel.from_dataset:
                head.mask_novel.set_novel(names)

    def predict(
        self, batch_inputs: torch.Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """As the host's.

        Shapes:
            batch_inputs: (B, 3, H, W).

        Raises:
            ValueError: an image that brings a text of its own.
        """
        refuse_texts(batch_data_samples, self.class_names)
        return super().predict(batch_inputs, batch_data_samples, rescale)

    def _forward(
        self, batch_inputs: torch.Tensor, batch_data_samples: SampleList | None = None
    ) -> tuple:
        """Raw outputs, the host's.

        Raises:
            ValueError: without samples, which say how large the images are.
        """
        if batch_data_samples is None:
            raise ValueError(
                'data_samples: the raw outputs of a two-stage detector need them, as they tell the '
                "size of each image; to count operations use mmdet's get_flops.py, or "
                'model.forward = functools.partial(model.forward, data_samples=...)'
            )
        return super()._forward(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Feature maps of all levels.

        They are made contiguous: MMCV's RoIAlign on a CPU silently reads channels_last maps
        wrongly.

        Shapes:
            batch_inputs: (B, 3, H, W).
            returns: L maps (B, C, H_l, W_l).
        """
        return tuple(level.contiguous() for level in super().extract_feat(batch_inputs))
