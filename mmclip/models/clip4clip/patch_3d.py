"""A patch embedding that sees the frames before and behind, and how it starts."""

import torch
from torch import nn

INITS = ('center', 'average')


class Patch3D(nn.Conv3d):
    """Patches of three frames at a time instead of one; as many frames come out as go in.

    Source: CLIP4Clip, section 3.2 ("3D linear"), official ``conv2``. Frames that are padding are
    zeros and take part, as do those beyond both ends.

    Args:
        width: Channels of the ViT.
        patch: Side of a patch in pixels.
        init: ``'center'``: the middle of the kernel is CLIP's own, the rest zero, so that the model
            starts as the 2D one (the official code's only choice); ``'average'``: a third of it in
            each place (ViViT's "filter inflation", named in the paper), so that it starts as the
            mean of three frames.

    Shapes:
        (B, 3, T, H, W) -> (B, width, T, H / patch, W / patch).

    Raises:
        ValueError: another ``init``.
    """

    def __init__(self, *, width: int, patch: int, init: str = 'center') -> None:
        if init not in INITS:
            raise ValueError(f'patch_init: {init!r} is none of {INITS}')
        super().__init__(
            3, width, (3, patch, patch), stride=(1, patch, patch), padding=(1, 0, 0), bias=False
        )
        self.init = init

    @torch.no_grad()
    def start_from(self, conv: nn.Conv2d) -> None:
        """Take over the kernel (width, 3, patch, patch) of the 2D embedding."""
        if self.init == 'center':
            self.weight.zero_()
            self.weight[:, :, 1] = conv.weight
        else:
            self.weight.copy_(conv.weight[:, :, None].expand_as(self.weight) / 3)
