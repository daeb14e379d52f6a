"""The image trunk of the mini CLIP: a ResNet-18 of narrow channels, registered in timm."""

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

# timm reads this beside the function below; without it every build says that something is missing.
default_cfgs = generate_default_cfgs(
    {
        'mmclip_resnet18_narrow.untrained': dict(
            num_classes=1000,
            input_size=(3, 48, 48),
            pool_size=(2, 2),
            first_conv='conv1.0',
            classifier='fc',
        )
    }
)


@register_model
def mmclip_resnet18_narrow(pretrained: bool = False, **kwargs: object) -> ResNet:
    """ResNet-18 with 24, 48, 96 and 192 channels and a stem of three 3x3 convolutions.

    1.6 M parameters instead of 11 M; strides 4, 8, 16 and 32.

    Args:
        pretrained: Part of timm's interface; there are no such weights in timm.
        kwargs: timm's, e.g. ``num_classes``, ``in_chans``.
    """
    return build_model_with_cfg(
        ResNet,
        'mmclip_resnet18_narrow',
        pretrained,
        block=BasicBlock,
        layers=(2, 2, 2, 2),
        channels=(24, 48, 96, 192),
        stem_type='deep',
        stem_width=12,
        **kwargs,
    )
