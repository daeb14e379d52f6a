"""A vision transformer with taps: the image encoder of DPT and LSeg."""

from collections.abc import Sequence
from functools import partial

import timm
import torch
from mmengine.model import BaseModule
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmclip.clip.dense_features import POSITION_RESIZE, resize_position_embedding
from mmclip.clip.pretrained import FrozenMixin, PretrainedMixin
from mmclip.models.lseg.vit_weights import vit_weights
from mmclip.registry import MODELS


@MODELS.register_module()
class DPTViT(FrozenMixin, PretrainedMixin, BaseModule):
    """Plain ViT that gives the tokens behind chosen blocks, for images of any multiple of a patch.

    The taps are the raw residual stream; the final norm and the classifier are not built, since
    nothing reads them. Building it reads no weights; they come when the model is initialized.

    Source: DPT (arXiv 2103.13413) section 3.1 and LSeg (arXiv 2201.03546). As in the official
    code position embeddings are resized bilinearly; it computes the final norm and drops it.

    Args:
        model: A timm ViT, e.g. ``'vit_large_patch16_384'``, or a dict of ``img_size``,
            ``patch_size``, ``embed_dim``, ``depth``, ``num_heads`` and other arguments of timm's
            ``VisionTransformer``.
        out_indices: Blocks whose outputs are given, 0 the first.
        pretrained: Where the image encoder starts: None (random), ``'timm'`` (timm's weights of
            that name, supervised on ImageNet), a local file in timm's layout, or
            ``dict(model=..., pretrained=...)``, the image tower of a CLIP.
        frozen: No weight is trained (the official ``clip_fixed``).
        with_cp: Recompute each block in backward instead of keeping its activations.
        position_mode: How position embeddings are resized, a key of
            ``clip_dense.POSITION_RESIZE``.

    Shapes:
        (B, 3, H, W) -> per tap a pair of patch tokens (B, C, h, w) and the S special tokens
        (B, S, C), class token first.

    Raises:
        ValueError: an index out of range, unknown ``position_mode``, a ViT with register tokens,
            without positions for the class token, or that drops patches.
    """

    pretrained_part = frozen_part = 'vit'

    def __init__(
        self,
        *,
        model: str | dict,
        out_indices: Sequence[int],
        pretrained: str | dict | None = None,
        frozen: bool = False,
        with_cp: bool = False,
        position_mode: str = 'bilinear',
    ) -> None:
        super().__init__()
        if position_mode not in POSITION_RESIZE:
            raise ValueError(
                f'position_mode: {position_mode!r} is none of {", ".join(POSITION_RESIZE)}'
            )
        self.model = model
        self.pretrained = pretrained
        self.frozen = frozen
        self.with_cp = with_cp
        self.position_mode = position_mode
        self.vit = _build(model)
        depth = len(self.vit.blocks)
        if not out_indices or not all(0 <= index < depth for index in out_indices):
            raise ValueError(
                f'out_indices: {tuple(out_indices)}; the ViT has blocks 0 to {depth - 1}'
            )
        self.out_indices = tuple(out_indices)
        # Nothing reads what lies behind the last tap.
        self.vit.blocks = self.vit.blocks[: max(out_indices) + 1]
        self.is_filled = pretrained is None
        if frozen:
            self.vit.requires_grad_(False)

    @property
    def embed_dim(self) -> int:
        """C, the width of the tokens."""
        return self.vit.embed_dim

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.vit.patch_embed.patch_size[0]

    def load_pretrained(self) -> None:
        """Take the weights that ``pretrained`` names.

        Raises:
            FileNotFoundError, ValueError: as :func:`mmclip.models.lseg.vit_weights.vit_weights`.
        """
        self.vit.load_state_dict(vit_weights(self.pretrained, self.model, self.vit))

    def embed(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Tokens that enter the first block.

        Shapes:
            (B, 3, H, W) -> (B, S + h * w, C), special tokens first, and (h, w).

        Raises:
            ValueError: a side that is no multiple of the patch, or smaller than one.
        """
        height, width = images.shape[2:]
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise ValueError(
                f'images: {height} x {width} pixels are no multiple of the patch of '
                f'{self.patch_size}; let the data preprocessor pad them '
                f'(test_cfg=dict(size_divisor={2 * self.patch_size}))'
            )
        vit = self.vit
        x = vit.patch_embed.proj(images)
        size = (x.shape[2], x.shape[3])
        x = vit.patch_embed.norm(x.flatten(2).transpose(1, 2))
        special = [vit.cls_token.expand(len(x), -1, -1)]
        if getattr(vit, 'dist_token', None) is not None:
            special.append(vit.dist_token.expand(len(x), -1, -1))
        tokens = sum(part.shape[1] for part in special)
        # The special tokens' own rows are not resized.
        grid = resize_position_embedding(
            vit.pos_embed[0, tokens - 1 :], size, mode=self.position_mode
        )
        position = torch.cat([vit.pos_embed[0, : tokens - 1], grid])
        return vit.norm_pre(vit.pos_drop(torch.cat([*special, x], 1) + position)), size

    def forward(self, images: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        """(B, 3, H, W) -> per tap (B, C, h, w) patch tokens and (B, S, C) special tokens."""
        x, (height, width) = self.embed(images)
        special = x.shape[1] - height * width
        taps = {}
        for index, block in enumerate(self.vit.blocks):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
            if index in self.out_indices:
                patches = x[:, special:].transpose(1, 2).unflatten(2, (height, width))
                taps[index] = (patches, x[:, :special])
        return tuple(taps[index] for index in self.out_indices)


def _build(model: str | dict) -> nn.Module:
    """A timm ViT without final norm and classifier, with random weights."""
    options = dict(num_classes=0, final_norm=False)
    if isinstance(model, dict):
        norm = partial(nn.LayerNorm, eps=model.get('ln_eps', 1e-6))
        settings = {name: value for name, value in model.items() if name != 'ln_eps'}
        built = VisionTransformer(**settings, **options, norm_layer=norm)
    else:
        try:
            built = timm.create_model(model, pretrained=False, **options)
        except TypeError:  # other architectures do not know these options
            built = None
    plain = isinstance(built, VisionTransformer) and not hasattr(built.patch_embed, 'backbone')
    if not plain or built.cls_token is None or built.pos_embed is None:
        raise ValueError(f'model: {model!r} is no plain ViT with a class token in timm')
    unread = dict(
        reg_tokens=built.num_reg_tokens > 0,
        no_embed_class=built.no_embed_class,
        patch_drop_rate=not isinstance(built.patch_drop, nn.Identity),
    )
    if any(unread.values()):
        found = ', '.join(name for name, there in unread.items() if there)
        raise ValueError(f'model: {model!r} has {found}, which DPTViT does not know')
    return built
