"""GLIP's pyramid: the host's, with DropBlock in training."""

import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN

from mmclip.registry import MODELS


def drop_block(
    x: torch.Tensor, uniform: torch.Tensor, drop_prob: float, block_size: int
) -> torch.Tensor:
    """Zero squares around the places where ``uniform`` is below drop_prob / block_size^2.

    What is left is scaled up by the share of zeros. All channels lose the same places.

    Source: arXiv 1810.12890; official ``DropBlock2D``.

    Shapes:
        x (B, C, H, W), uniform (B, H, W) in 0-1 -> (B, C, H, W).
    """
    seeds = (uniform < drop_prob / block_size**2).to(x)
    dropped = F.max_pool2d(seeds[:, None], block_size, 1, block_size // 2)
    dropped = dropped[..., : x.shape[2], : x.shape[3]]
    kept = 1 - dropped
    return x * kept * (kept.numel() / kept.sum().clamp(min=1))


@MODELS.register_module()
class DropBlockFPN(FPN):
    """The host's FPN with DropBlock on the merged maps, in training.

    Source: official ``FPN`` with ``USE_DROPBLOCK``: before the 3 x 3 convolutions of all levels but
    the coarsest of the backbone.

    Args:
        args, kwargs: The host's.
        drop_prob: Share of a map that is dropped, 0 for none.
        block_size: Side of the squares, odd.

    Raises:
        ValueError: an even block size.
    """

    def __init__(
        self, *args: object, drop_prob: float = 0.3, block_size: int = 3, **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)
        if block_size % 2 == 0:
            raise ValueError(f'block_size: {block_size} is even; allowed are 1, 3, 5, ...')
        self.drop_prob, self.block_size = drop_prob, block_size
        last = self.backbone_end_level - self.start_level - 1
        for conv in self.fpn_convs[:last]:
            conv.register_forward_pre_hook(self._drop)

    def _drop(self, conv: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        """Runs in front of an output convolution."""
        (x,) = inputs
        if not (conv.training and self.drop_prob):
            return (x,)
        uniform = torch.rand(len(x), *x.shape[2:], device=x.device)
        return (drop_block(x, uniform, self.drop_prob, self.block_size),)
