"""Instance masks whose channels are the words of an image's text, and what they should be."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import nn

from mmclip.registry import MODELS

CLAMP = 50000.0


@MODELS.register_module()
class TokenMaskHead(BaseModule):
    r"""Convolutions, a deconvolution, and one dot product per mask pixel and word.

    .. math:: z_{pt} = \frac{\langle f_p, W e_t / 2 + c \rangle}{e^{\tau}} + \langle e_t, b \rangle

    with e the L2-normalized fused word features. The mask of a phrase is the sigmoid of the MEAN of
    the logits of its tokens (boxes average probabilities instead). Since that mean is linear in the
    words, the words of a phrase are averaged first and one channel is computed instead of T; only
    where a logit could reach the official clamp at ±50000 all T are.

    Source: official ``VLMaskRCNNC4Predictor``, which takes one image at a time; here each region
    says which image's words it reads.

    Args:
        in_channels: C of the RoI features.
        word_dim: D of a token.
        num_convs: 3x3 convolutions in front.
        conv_channels: C' of them.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        *,
        in_channels: int = 256,
        word_dim: int = 768,
        num_convs: int = 4,
        conv_channels: int = 256,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        widths = [in_channels, *[conv_channels] * num_convs]
        self.convs = nn.ModuleList(
            ConvModule(before, after, 3, padding=1)
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.upsample = nn.ConvTranspose2d(widths[-1], conv_channels, 2, 2)
        self.projection_text = nn.Linear(word_dim, conv_channels)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(word_dim))
        self.loss_weight = loss_weight
        for layer in [*(conv.conv for conv in self.convs), self.upsample]:
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            nn.init.zeros_(layer.bias)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) RoI features -> (N, C', 2 h, 2 w)."""
        for conv in self.convs:
            x = conv(x)
        return F.relu(self.upsample(x))

    def queries(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) words -> what pixels are multiplied with (B, T, C'), and added (B, T)."""
        words = F.normalize(words, dim=-1)
        products = self.projection_text(words / 2) / self.log_scale.exp()
        return products, words @ self.bias_lang

    def forward(self, x: torch.Tensor, words: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Logits of every word.

        Args:
            x: RoI features.
            words: Fused word features of each image.
            image: Whose words each region reads.

        Shapes:
            (N, C, h, w), (B, T, D), (N,) int64 -> (N, T, 2 h, 2 w).
        """
        products, sums = self.queries(words)
        found = torch.einsum('nchw,ntc->nthw', self.features(x), products[image])
        return (found + sums[image][:, :, None, None]).clamp(-CLAMP, CLAMP)

    def phrase_logits(
        self,
        x: torch.Tensor,
        words: torch.Tensor,
        image: torch.Tensor,
        tokens: torch.Tensor,
    ) -> torch.Tensor:
        """Logits of one phrase for each region: the mean over its tokens.

        Args:
            x, words, image: As :meth:`forward`.
            tokens: Which tokens each region's phrase has; a phrase without any gets logits of 0.

        Shapes:
            (N, C, h, w), (B, T, D), (N,) int64, (N, T) bool -> (N, 2 h, 2 w).
        """
        share = tokens.to(words.dtype)
        share = share / share.sum(1, keepdim=True).clamp(min=1)
        products, sums = self.queries(words)
        features = self.features(x)
        mean = torch.einsum('nt,ntc->nc', share, products[image])
        found = torch.einsum('nchw,nc->nhw', features, mean)
        found = found + (share * sums[image]).sum(1)[:, None, None]
        with torch.no_grad():
            reach = features.norm(dim=1).max() if features.numel() else features.new_zeros(())
            reach = reach * products.norm(dim=-1).max() + sums.abs().max()
        if reach > CLAMP:  # only then can the clamp matter
            every = torch.einsum('nchw,ntc->nthw', features, products[image])
            every = (every + sums[image][:, :, None, None]).clamp(-CLAMP, CLAMP)
            found = torch.einsum('nt,nthw->nhw', share, every)
        return found

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy, the mean over all pixels; 0 with a graph without any.

        Shapes:
            (N, h, w) logits, (N, h, w) in 0-1 -> ().
        """
        if not len(logits):
            return logits.sum() + 0 * sum(p.sum() for p in self.parameters())
        return self.loss_weight * F.binary_cross_entropy_with_logits(logits.float(), targets)


def mask_targets(
    masks: Sequence, matched: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor], size: int
) -> torch.Tensor:
    """Masks of the matched objects, cut to boxes and brought to size x size.

    Source: official ``project_masks_on_boxes``; mmdet's ``crop_and_resize`` does the same.

    Args:
        masks: mmdet's polygon or bitmap masks of each image.
        matched: For each image the number of the object of each box.
        boxes: xyxy pixels.
        size: Pixels per side.

    Shapes:
        B masks, B tensors (N,), B tensors (N, 4) -> (sum N, size, size) float32.
    """
    found = []
    for image, index, rows in zip(masks, matched, boxes, strict=True):
        if not len(index):
            found.append(rows.new_zeros(0, size, size))
            continue
        cut = image.crop_and_resize(
            rows.detach().cpu().numpy(), (size, size), index.cpu().numpy(), rows.device
        )
        found.append(torch.as_tensor(cut.to_ndarray()).to(rows))
    return torch.cat(found)
