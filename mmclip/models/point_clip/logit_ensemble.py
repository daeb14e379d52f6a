"""Any two trained classifiers of clouds together."""

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmclip.models.point_clip.clouds import Clouds
from mmclip.models.point_clip.pretrained_part import load_part
from mmclip.models.point_clip.samples import predicted
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class LogitEnsemble(OpenVocabularyMixin, BaseModel):
    """logits = own + logit_ratio x other, of two frozen classifiers.

    PointCLIP has a partner of its own (``ensemble``); this one also pairs classical networks with
    each other, the control of the paper's claim that PointCLIP adds more than a second network.

    Source: Zhang et al. 2021 (arXiv 2112.02413), section 3.4 and table 5.

    Args:
        own, other: ``dict(model=..., pretrained=...)``: a config whose mode ``'tensor'`` gives
            logits (B, K), and its checkpoint file (None: random, or of this model's checkpoint).
        logit_ratio: Of the other's logits.
        data_preprocessor: None: :class:`mmclip.PointDataPreprocessor`.

    Shapes:
        inputs (B, N, 3) or B tensors (N_i, 3).

    Raises:
        ValueError: mode ``'loss'``; networks of different classes.
    """

    def __init__(
        self,
        *,
        own: dict,
        other: dict,
        logit_ratio: float = 1.0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='mmclip.PointDataPreprocessor'))
        self.own, self.ensemble = (
            MODELS.build(part['model']).requires_grad_(False) for part in (own, other)
        )
        self.logit_ratio = logit_ratio
        self._pretrained = {
            name: (module, part.get('pretrained'))
            for name, module, part in (('own', self.own, own), ('other', self.ensemble, other))
        }

    def fill(self) -> None:
        """Load both networks, if no checkpoint did."""
        for name, (module, path) in self._pretrained.items():
            if path is not None:
                load_part(module, path, name=f'{name}.pretrained')
        self._pretrained = {}

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._pretrained = {}
        super()._load_from_state_dict(*args, **kwargs)

    def both_logits(self, inputs: Clouds) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K) each.

        Raises:
            ValueError: networks of different classes.
        """
        own, other = (part(inputs, mode='tensor').float() for part in (self.own, self.ensemble))
        if own.shape != other.shape:
            raise ValueError(
                f'own, other: logits of {own.shape[1]} and {other.shape[1]} classes; train both '
                'on the same'
            )
        return own, other

    @torch.no_grad()
    def forward(
        self,
        inputs: Clouds,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | list[BaseDataElement]:
        """Logits (B, K) in mode ``'tensor'``, samples in ``'predict'``."""
        if mode not in ('tensor', 'predict'):
            raise ValueError(f'mode: {mode!r}; an ensemble of trained networks only predicts')
        self.fill()
        own, other = self.both_logits(inputs)
        logits = own + self.logit_ratio * other
        if mode == 'tensor':
            return logits
        return predicted(logits.softmax(-1), data_samples, None)
