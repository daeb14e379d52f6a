"""The tower behind a backbone that reads words itself."""

import torch
from torch import nn

from mmclip.models.glip.neck import DeepFusionNeck, Text
from mmclip.models.glipv2.text_swin import TextSwin
from mmclip.registry import MODELS


@MODELS.register_module()
class TextConditionedNeck(DeepFusionNeck):
    """Last stage of :class:`mmclip.TextSwin`, pyramid, then GLIP's blocks.

    What depends on words begins in the backbone here, so all of it is run again for each caption of
    a long vocabulary, and what does not only once.

    Args:
        kwargs: As :class:`mmclip.DeepFusionNeck`.
    """

    def attach(self, backbone: TextSwin, neck: nn.Module) -> None:
        """Tell which backbone and pyramid to use; they stay parts of the detector."""
        self._owned = backbone, neck  # a tuple is not registered

    @property
    def fuses(self) -> bool:
        """Always."""
        return True

    @fuses.setter
    def fuses(self, value: bool) -> None:
        self._tower_fuses = value

    def forward(self, features: tuple[torch.Tensor, ...], text: Text) -> tuple[tuple, Text]:
        """Maps of the backbone's early stages, the last stage's input, and the words.

        Shapes:
            maps (B, C, h, w), text entries (B, T, D) -> L maps of the pyramid, text.
        """
        backbone, neck = self._owned
        *maps, x = features
        last, text = backbone.read_words(x, text)
        return super().forward(tuple(neck([*maps, last])), text)
