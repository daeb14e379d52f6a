"""The host's ResNet with the max-pooling of the official code."""

from mmdet.models.backbones.resnet import ResNet
from timm.layers.pool2d_same import MaxPool2dSame

from mmclip.registry import MODELS


@MODELS.register_module()
class SamePoolResNet(ResNet):
    """ResNet whose max-pooling pads as TensorFlow does, for converted official weights.

    The official convolutions of stride 2 pad on both sides, as here; only the pooling behind the
    stem differs: an even size is padded behind only.

    Args:
        args, kwargs: The host's.

    Shapes:
        (B, 3, H, W) -> one (B, C_l, H_l, W_l) per stage.
    """

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.maxpool = MaxPool2dSame(3, 2)
