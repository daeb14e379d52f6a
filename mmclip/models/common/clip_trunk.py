"""The convolutional image trunk of a CLIP as a detector's backbone."""

from collections.abc import Sequence

import timm
import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.common.clip_loading import build_clip, clip_config
from mmclip.registry import MODELS


@MODELS.register_module()
class CLIPTrunk(BaseModule):
    """Feature maps of the stages of a CLIP whose image tower is a timm model.

    Building one reads no weights; they come from the CLIP when the model is initialised.

    Args:
        model: As :func:`mmclip.models.common.clip_loading.clip_config`, e.g. ``'mini_clip'``.
        pretrained: As :func:`mmclip.models.common.clip_loading.build_clip`; None leaves it random.
        out_indices: Stages, 1 the first behind the stem (stride 4 in a ResNet).
        norm_eval: Whether batch norms use their running statistics in training too.
        frozen: Whether no weight is trained (implies ``norm_eval``).
        init_cfg: The host's, where ``pretrained`` is None, e.g. another training's checkpoint.

    Shapes:
        (B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage.

    Raises:
        ValueError: the image tower is no timm model.
    """

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
        if 'timm_model_name' not in vision:
            raise ValueError(
                f'model: the image tower of {model!r} is no timm model; '
                'mmclip.CLIPTrunk takes those only'
            )
        self.model = model
        self.pretrained = pretrained
        self.norm_eval = norm_eval or frozen
        self.trunk = timm.create_model(
            vision['timm_model_name'], features_only=True, out_indices=tuple(out_indices)
        )
        self.out_channels = tuple(self.trunk.feature_info.channels())
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
        trunk = build_clip(self.model, self.pretrained).visual.trunk
        wanted = self.trunk.state_dict()
        state = {name: value for name, value in trunk.state_dict().items() if name in wanted}
        self.trunk.load_state_dict(state)
        self._is_init = True

    def train(self, mode: bool = True) -> 'CLIPTrunk':
        """Keep batch norms in evaluation if they are to stay as they are."""
        super().train(mode)
        if self.norm_eval:
            for module in self.trunk.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage."""
        return tuple(self.trunk(x))
