"""CLIP's image tower as a backbone for the hosts: pooled, multi-scale and dense features."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer

from mmclip.clip import dense_features
from mmclip.clip.loading import build_image_tower, clip_embed_dim, load_image_tower
from mmclip.clip.pretrained import FrozenMixin, PretrainedMixin
from mmclip.registry import MODELS

VIT_DENSE = ('tokens', 'maskclip')
RESNET_DENSE = ('attention_pool', 'attention_pool_no_position', 'maskclip')
TIMM_DENSE = ('tokens',)


@MODELS.register_module()
class OpenCLIPBackbone(FrozenMixin, PretrainedMixin, BaseModule):
    """The image tower of any open_clip model, for images of any size.

    Building it reads no weights; they are loaded when the model is initialized (``init_weights``),
    or come with a checkpoint.

    Args:
        model: As :func:`mmclip.clip.loading.clip_config`.
        pretrained: As :func:`mmclip.clip.loading.build_clip`; None leaves it random.
        out_indices: Which maps ``forward`` returns. ViT: blocks, 0 the first, negative from the end
            (patch tokens as a map, before the final norm); ModifiedResNet: 0 the stem, 1 to 4 the
            stages; timm models: timm's own feature indices.
        dense: Adds a map in the space of the text tower as the last output, made by

            - ``'tokens'``: every patch token through the final norm and projection (ViT; timm
              models that average: every position through the projection);
            - ``'maskclip'``: the last attention replaced by its values;
            - ``'attention_pool'``: every position asks the ResNet's attention pool;
            - ``'attention_pool_no_position'``: the same without position embedding.
        maskclip_residual: ViT: whether MaskCLIP keeps the last block's residual and MLP (the
            official code does).
        position_mode: How position embeddings are resized for other image sizes: a key of
            ``dense_features.POSITION_RESIZE``.
        frozen: No weight is trained, and batch norms and dropout stay in eval mode under
        ``train()``.
        norm_eval: Batch norms alone stay in eval mode.

    Shapes:
        (B, 3, H, W), normalized with the CLIP's mean and std -> tuple of (B, C_l, h_l, w_l), the
        dense one (B, D, h, w), raw.

    Raises:
        ValueError: an unknown dense kind for this tower, an index out of range.
    """

    pretrained_part = frozen_part = 'visual'

    def __init__(
        self,
        *,
        model: str | dict,
        pretrained: str | None = None,
        out_indices: Sequence[int] = (-1,),
        dense: str | None = None,
        maskclip_residual: bool = True,
        position_mode: str = 'bicubic_antialias',
        frozen: bool = True,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        if position_mode not in dense_features.POSITION_RESIZE:
            raise ValueError(
                f'position_mode: {position_mode!r} is none of '
                f'{", ".join(dense_features.POSITION_RESIZE)}'
            )
        self.model = model
        self.pretrained = pretrained
        self.embed_dim = clip_embed_dim(model)
        self.visual = build_image_tower(model, pretrained)
        self.dense = dense
        self.maskclip_residual = maskclip_residual
        self.position_mode = position_mode
        self.frozen = frozen
        self.norm_eval = norm_eval or frozen
        self.out_indices = self._checked_indices(out_indices)
        self._check_dense()
        if not self.out_indices and dense is None:
            raise ValueError('out_indices: nothing is asked for, neither a map nor a dense one')
        self.is_filled = pretrained is None
        if frozen:
            self.visual.requires_grad_(False)

    # -- construction and weights -----------------------------------------------------------------

    def _checked_indices(self, indices: Sequence[int]) -> tuple[int, ...]:
        if isinstance(self.visual, VisionTransformer):
            count = len(self.visual.transformer.resblocks)
        elif isinstance(self.visual, ModifiedResNet):
            count = 5
        else:
            count = len(self.visual.trunk.feature_info)
        bad = [i for i in indices if not -count <= i < count]
        if bad:
            raise ValueError(f'out_indices: {bad} are out of range, the tower has {count} maps')
        return tuple(i % count for i in indices)

    def _check_dense(self) -> None:
        tower = self.visual
        if isinstance(tower, VisionTransformer):
            # A pool of its own behind the blocks, or a norm that tokens never pass: no such space.
            plain = tower.attn_pool is None and not tower.final_ln_after_pool
            allowed = VIT_DENSE if plain else ()
        elif isinstance(tower, ModifiedResNet):
            allowed = RESNET_DENSE
        else:
            allowed = TIMM_DENSE if self._timm_averages() else ()
        if self.dense is not None and self.dense not in allowed:
            raise ValueError(
                f'dense: {self.dense!r} is none of {allowed} for a {type(tower).__name__}'
            )

    def _timm_averages(self) -> bool:
        tower = self.visual
        pool = getattr(tower.trunk, 'global_pool', None)
        kind = getattr(pool, 'pool_type', None)
        return isinstance(tower, TimmModel) and kind == 'avg' and 'pool' not in tower.head._modules

    def load_pretrained(self) -> None:
        """Load ``pretrained``."""
        load_image_tower(self.visual, self.model, self.pretrained)

    # -- features ---------------------------------------------------------------------------------

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 3, H, W) -> the maps of ``out_indices``, then the dense one if there is one."""
        tower = self.visual
        if isinstance(tower, VisionTransformer):
            states, size = self._vit_states(images, [i + 1 for i in self.out_indices], self.dense)
            maps = [
                dense_features.tokens_to_map(states[i + 1][:, 1:], size) for i in self.out_indices
            ]
            return (*maps, self._vit_dense(states, size)) if self.dense else tuple(maps)
        if isinstance(tower, ModifiedResNet):
            keep = {*self.out_indices, 4} if self.dense else self.out_indices
            states = dense_features.resnet_stages(tower, images, keep=keep)
            maps = [states[i] for i in self.out_indices]
            return (*maps, self._resnet_dense(states[4])) if self.dense else tuple(maps)
        maps = tower.trunk.forward_intermediates(
            images, indices=list(self.out_indices), intermediates_only=True
        )
        # timm answers in its own order.
        order = sorted(set(self.out_indices))
        maps = [maps[order.index(i)] for i in self.out_indices]
        return (*maps, self.dense_features(images)) if self.dense else tuple(maps)

    def _vit_states(
        self, images: torch.Tensor, keep: Sequence[int], dense: str | None = None
    ) -> tuple[dict[int, torch.Tensor], tuple[int, int]]:
        """Tokens of the numbers in ``keep`` and of what a dense map is made from."""
        depth = len(self.visual.transformer.resblocks)
        wanted = {*keep}
        if dense:
            wanted.add(depth - 1 if dense == 'maskclip' else depth)
        return dense_features.vit_tokens(
            self.visual, images, keep=wanted, position_mode=self.position_mode
        )

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """The image feature: (B, 3, H, W) -> (B, D), raw."""
        tower = self.visual
        if isinstance(tower, VisionTransformer):
            depth = len(tower.transformer.resblocks)
            states, _ = self._vit_states(images, [depth])
            return dense_features.vit_pool(tower, states[depth])
        if isinstance(tower, ModifiedResNet):
            last = dense_features.resnet_stages(tower, images, keep=(4,))[4]
            return dense_features.attention_pool(
                tower.attnpool, last, position_mode=self.position_mode
            )
        return tower(images)

    def tokens(self, images: torch.Tensor) -> list[torch.Tensor]:
        """ViT: tokens that enter the first and leave each block, each (B, 1 + h * w, C)."""
        states, _ = dense_features.vit_tokens(self.visual, images, position_mode=self.position_mode)
        return list(states.values())

    def project(self, tokens: torch.Tensor) -> torch.Tensor:
        """ViT: tokens of the last block into the shared space: (B, N, C) -> (B, N, D), raw."""
        return dense_features.vit_project(self.visual, tokens)

    def dense_features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D, h, w), raw, in the space of the text tower.

        Raises:
            ValueError: the backbone was built without ``dense``.
        """
        tower = self.visual
        if self.dense is None:
            raise ValueError("dense: build the backbone with one, e.g. dense='maskclip'")
        if isinstance(tower, VisionTransformer):
            return self._vit_dense(*self._vit_states(images, (), self.dense))
        if isinstance(tower, ModifiedResNet):
            return self._resnet_dense(dense_features.resnet_stages(tower, images, keep=(4,))[4])
        features = tower.trunk.forward_features(images)
        return tower.head(features.movedim(1, -1)).movedim(-1, 1)

    def _vit_dense(self, states: dict[int, torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        blocks = self.visual.transformer.resblocks
        if self.dense == 'maskclip':
            tokens = dense_features.value_block(
                blocks[-1], states[len(blocks) - 1], residual=self.maskclip_residual
            )
        else:
            tokens = states[len(blocks)]
        return dense_features.tokens_to_map(self.project(tokens[:, 1:]), size)

    def _resnet_dense(self, features: torch.Tensor) -> torch.Tensor:
        pool = self.visual.attnpool
        if self.dense == 'maskclip':
            return dense_features.attention_pool_values(pool, features)
        return dense_features.attention_pool(
            pool,
            features,
            all_positions=True,
            position=self.dense == 'attention_pool',
            position_mode=self.position_mode,
        )
