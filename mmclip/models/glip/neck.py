"""The tower between the pyramid and the head, as a neck that any detector can use."""

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmclip.models.glip.dyconv import DyConv
from mmclip.models.glip.film import FiLMFusion
from mmclip.models.glip.fusion import Maps, VisionLanguageFusion
from mmclip.models.glip.text_layer import build_text_layer
from mmclip.registry import MODELS

Text = dict[str, torch.Tensor]


class DeepFusionBlock(BaseModule):
    """Fusion, a text layer, a DyHead block, each of which may be missing; no mask: no padding."""

    def __init__(
        self,
        fusion: VisionLanguageFusion | None,
        text_layer: nn.Module | None,
        dyconv: DyConv | None,
    ) -> None:
        super().__init__()
        self.fusion, self.text_layer, self.dyconv = fusion, text_layer, dyconv

    def forward(
        self, features: Maps, hidden: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[Maps, torch.Tensor]:
        if self.fusion is not None:
            features, hidden = self.fusion(features, hidden, mask)
        if self.text_layer is not None:
            hidden = self.text_layer(hidden, mask)
        if self.dyconv is not None:
            features = self.dyconv(features)
        return features, hidden


def build_fusion(channels: int, text_dim: int, settings: dict) -> nn.Module:
    """The fusion of one block by its ``kind``."""
    dims = dict(vision_dim=channels, text_dim=text_dim)
    if settings.get('kind') != 'FILM':
        return VisionLanguageFusion(**settings, **dims)
    own = {name: value for name, value in settings.items() if name not in ('kind', 'init_value')}
    return FiLMFusion(**own, **dims)


@MODELS.register_module()
class DeepFusionNeck(BaseModule):
    """N blocks in which an image's feature maps and the features of words read each other.

    Source: GLIP section 3.2; official ``VLDyHead``.

    Args:
        channels: C of all maps.
        text_dim: C_l of the words; :class:`mmclip.models.glip.detector.GLIPDetector` fills it in.
        num_blocks: N.
        fusion: Settings of :class:`~mmclip.models.glip.fusion.VisionLanguageFusion`; gamma starts
            at 1 / N unless given. With ``kind='FILM'`` those of
            :class:`~mmclip.models.glip.film.FiLMFusion`. None: image and words do not meet here
            (GLIP-A), and no text layer is built.
        text_layer: ``kind`` ('bert' or 'clip') and the settings of the layer; None for none.
        last_text_layer: Whether the last block has one; without it for heads that compare with the
            words as they came in.
        dyconv: Settings of :class:`~mmclip.models.glip.dyconv.DyConv`; None for none.
        with_cp: Recompute a block's activations in the backward pass.

    Shapes:
        features: L maps (B, C, H_l, W_l), finest first. text: ``hidden`` (B, T, C_l), ``mask``
        (B, T) bool; other entries are passed on. -> maps and text of the same shapes.
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        text_dim: int | None = None,
        num_blocks: int = 6,
        fusion: dict | None = None,
        text_layer: dict | None = None,
        last_text_layer: bool = True,
        dyconv: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if fusion is not None and text_dim is None:
            raise ValueError('text_dim: a fusion needs the width of the words')
        self.with_cp = with_cp
        self.fuses = fusion is not None
        blocks = []
        for number in range(num_blocks):
            has_text = self.fuses and text_layer is not None
            has_text &= last_text_layer or number < num_blocks - 1
            settings = dict(text_layer or {})
            blocks.append(
                DeepFusionBlock(
                    build_fusion(channels, text_dim, dict(init_value=1 / num_blocks) | fusion)
                    if self.fuses
                    else None,
                    build_text_layer(settings.pop('kind'), text_dim, **settings)
                    if has_text
                    else None,
                    DyConv(channels=channels, **dyconv) if dyconv is not None else None,
                )
            )
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Maps, text: Text) -> tuple[Maps, Text]:
        hidden, mask = text['hidden'], text['mask'].bool()
        # Asked once, since the answer is waited for: without padding blocks have no mask to apply.
        mask = None if bool(mask.all()) else mask
        features = tuple(features)
        for block in self.blocks:
            # Not `self.training`: tuning the words alone keeps the tower in evaluation mode.
            if self.with_cp and torch.is_grad_enabled():
                features, hidden = checkpoint(block, features, hidden, mask, use_reentrant=False)
            else:
                features, hidden = block(features, hidden, mask)
        return features, text | dict(hidden=hidden)
