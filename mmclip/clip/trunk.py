"""The convolutional image trunk of a CLIP as a detector's backbone."""

from collections.abc import Sequence

import timm
import torch
from mmengine.model import BaseModule
from open_clip.modified_resnet import ModifiedResNet

from mmclip.clip.loading import build_clip, clip_config
from mmclip.clip.pretrained import FrozenMixin
from mmclip.registry import MODELS


class ResNetStages(ModifiedResNet):
    """The stages of CLIP's own ResNets (RN50, RN50x4, ...), without the attention pooling.

    Args:
        vision: ``vision_cfg`` of the CLIP.
        out_indices: Stages, 1 to 4.
    """

    def __init__(self, vision: dict, out_indices: Sequence[int]) -> None:
        width = vision['width']
        heads = width * 32 // vision.get('head_width', 64)
        super().__init__(vision['layers'], 1, heads, vision['image_size'], width)
        self.attnpool = None
        self.out_indices = tuple(out_indices)
        self.channels = [width * 2 ** (index + 1) for index in out_indices]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage."""
        x, maps = self.stem(x), []
        for index in range(1, max(self.out_indices) + 1):
            x = getattr(self, f'layer{index}')(x)
            maps.append(x)
        return [maps[index - 1] for index in self.out_indices]


@MODELS.register_module()
class CLIPTrunk(FrozenMixin, BaseModule):
    """Feature maps of the stages of a CLIP whose image tower is convolutional.

    That is one of CLIP's own ResNets or any timm model with stages.

    Building one reads no weights; they come from the CLIP when the model is initialized.

    Args:
        model: As :func:`mmclip.clip.loading.clip_config`, e.g. ``'mini_clip'``.
        pretrained: As :func:`mmclip.clip.loading.build_clip`; None leaves it random.
        out_indices: Stages, 1 the first behind the stem (stride 4 in a ResNet).
        norm_eval: Whether batch norms use their running statistics in training too.
        frozen: Whether no weight is trained (implies ``norm_eval``).
        init_cfg: The host's, where ``pretrained`` is None, e.g. another training's checkpoint.

    Shapes:
        (B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage.

    Raises:
        ValueError: the image tower is a plain ViT.
    """

    frozen_part = 'trunk'

    def __init__(
        self,
        *,
        model: str | dict,
        pretrained: str | None = None,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        norm_eval: bool = False,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        vision = clip_config(model)['vision_cfg']
        self.model = model
        self.pretrained = pretrained
        self.norm_eval = norm_eval or frozen
        if 'timm_model_name' in vision:
            self.trunk = timm.create_model(
                vision['timm_model_name'], features_only=True, out_indices=tuple(out_indices)
            )
            self.out_channels = tuple(self.trunk.feature_info.channels())
        elif isinstance(vision.get('layers'), (list, tuple)):
            self.trunk = ResNetStages(vision, out_indices)
            self.out_channels = tuple(self.trunk.channels)
        else:
            raise ValueError(
                f'model: the image tower of {model!r} is a plain ViT, which has no stages; '
                'mmclip.CLIPTrunk takes ResNets and timm models'
            )
        if frozen:
            self.trunk.requires_grad_(False)

    def init_weights(self) -> None:
        """Take the weights of the CLIP's image tower.

        Raises:
            FileNotFoundError, ValueError: as :func:`build_clip`.
        """
        if self._is_init:
            return
        if self.pretrained is None:
            super().init_weights()
            return
        visual = build_clip(self.model, self.pretrained).visual
        trunk = getattr(visual, 'trunk', visual)
        wanted = self.trunk.state_dict()
        state = {name: value for name, value in trunk.state_dict().items() if name in wanted}
        self.trunk.load_state_dict(state)
        self._is_init = True

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage."""
        return tuple(self.trunk(x))
