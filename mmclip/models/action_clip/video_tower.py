"""Frames to the feature of a video: image tower and visual prompts."""

import timm
import torch
from mmengine.model import BaseModule
from timm.layers import DropPath
from torch import nn

from mmclip.clip.layers import VisionTransformer
from mmclip.clip.loading import build_image_tower, clip_embed_dim
from mmclip.clip.pretrained import FrozenMixin
from mmclip.models.action_clip.frame_prompts import JointPrompt, run_vit
from mmclip.registry import MODELS

PRETRAINED = ('clip', 'random')


class TimmTower(nn.Module):
    """A timm image model (a ViT trained on ImageNet) and a projection to D.

    Args:
        name: timm's name; with ``pretrained`` it is loaded by :meth:`load_pretrained`.
        embed_dim: D.
    """

    def __init__(self, *, name: str, embed_dim: int) -> None:
        super().__init__()
        self.name = name
        self.trunk = timm.create_model(name, pretrained=False, num_classes=0)
        self.projection = nn.Linear(self.trunk.num_features, embed_dim, bias=False)

    def load_pretrained(self) -> None:
        """Load timm's weights; the projection stays random."""
        loaded = timm.create_model(self.name, pretrained=True, num_classes=0)
        self.trunk.load_state_dict(loaded.state_dict())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, D), raw."""
        return self.projection(self.trunk(images))


def set_drop_rate(tower: VisionTransformer, rate: float) -> None:
    """Rates from 0 to ``rate`` over the blocks, for whole branches and for attention weights."""
    blocks = tower.transformer.resblocks
    for block, value in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
        block.attn.dropout = value
        # Identity in CLIP: nothing in a checkpoint has this name.
        block.ls_1 = DropPath(value)
        block.ls_2 = DropPath(value)


class VideoTower(FrozenMixin, BaseModule):
    """Frames of videos to one raw feature each.

    Source: ActionCLIP, section 3.3 and figure 3.

    Args:
        model: CLIP's architecture, as :func:`mmclip.clip.loading.clip_config`.
        tower: ``'clip'``, ``'random'``, or ``dict(name=..., pretrained=True)`` for a timm model
            with a projection in front of D (an ImageNet ViT).
        num_frames: T.
        pre_prompt: ``'joint'`` or None. The ViT then gives one feature of the whole video, and
            there is no post-prompt.
        in_prompt: ``'shift'`` or None.
        shift_div: Reciprocal of the share of channels that moves one way.
        post_prompt: Config without sizes, e.g. ``dict(type='mmclip.ActionTransf')``.
        drop_out: Of the last block; see :func:`set_drop_rate`.
        norm_eval: Batch norms of the image tower stay in eval mode.
        frozen: The image tower (not the prompts) is not trained.
        with_cp: Recompute blocks in the backward pass to save memory.

    Shapes:
        (B, T, 3, H, W), normalized -> (B, D), raw.

    Raises:
        ValueError: prompts that do not go together or need a ViT.
    """

    frozen_part = 'visual'

    def __init__(
        self,
        *,
        model: str | dict,
        num_frames: int,
        tower: str | dict = 'clip',
        pre_prompt: str | None = None,
        in_prompt: str | None = None,
        shift_div: int = 8,
        post_prompt: dict | None = None,
        drop_out: float = 0.0,
        norm_eval: bool = False,
        frozen: bool = False,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        if num_frames < 1:
            raise ValueError(f'num_frames: {num_frames}; allowed are 1 and more')
        self.num_frames = num_frames
        self.embed_dim = clip_embed_dim(model)
        self.norm_eval = norm_eval
        self.frozen = frozen
        if isinstance(tower, dict):
            if 'name' not in tower or tower.keys() - {'name', 'pretrained'}:
                raise ValueError(
                    f'image_tower: {tower}; a dict has the name of a timm model, and may have '
                    'pretrained'
                )
            self.source = 'timm' if tower.get('pretrained', True) else 'random'
            self.visual = TimmTower(name=tower['name'], embed_dim=self.embed_dim)
        elif tower in PRETRAINED:
            self.source = tower
            self.visual = build_image_tower(model)
        else:
            raise ValueError(f'image_tower: {tower!r} is none of {PRETRAINED} and no dict')
        is_vit = isinstance(self.visual, VisionTransformer)
        if pre_prompt not in (None, 'joint'):
            raise ValueError(f"pre_prompt: {pre_prompt!r} is neither None nor 'joint'")
        if in_prompt not in (None, 'shift'):
            raise ValueError(f"in_prompt: {in_prompt!r} is neither None nor 'shift'")
        if shift_div < 2:
            raise ValueError(f'shift_div: {shift_div}; allowed are 2 and more')
        self.shift = shift_div if in_prompt else None
        wanted = [
            name
            for name, value in dict(
                pre_prompt=pre_prompt, in_prompt=in_prompt, drop_out=drop_out, with_cp=with_cp
            ).items()
            if value
        ]
        if wanted and not is_vit:
            raise ValueError(f'{wanted[0]}: needs a CLIP ViT, {model!r} has {type(self.visual)}')
        if pre_prompt and (in_prompt or post_prompt):
            raise ValueError(
                "pre_prompt: 'joint' makes one feature of the whole video and mixes the frames' "
                'tokens: it goes with neither in_prompt nor post_prompt'
            )
        if pre_prompt:
            width = self.visual.conv1.out_channels
            self.pre_prompt = JointPrompt(num_frames=num_frames, width=width)
        else:
            self.pre_prompt = None
            self.post_prompt = MODELS.build(
                dict(
                    post_prompt or dict(type='mmclip.ActionMeanP'),
                    embed_dim=self.embed_dim,
                    num_frames=num_frames,
                )
            )
        if drop_out:
            set_drop_rate(self.visual, drop_out)
        if with_cp:
            self.visual.set_grad_checkpointing(True)
        if frozen:
            self.visual.requires_grad_(False)

    def init_weights(self) -> None:
        """Load timm's weights; CLIP's come from the recognizer."""
        if self.source == 'timm':
            self.visual.load_pretrained()

    def frame_features(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, T, 3, H, W) -> (B, T, D), raw; (B, D) with the joint prompt."""
        if isinstance(self.visual, VisionTransformer):
            time = None if self.pre_prompt is None else self.pre_prompt.time_embedding
            return run_vit(self.visual, frames, time_embedding=time, shift=self.shift)
        return self.visual(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        features = self.frame_features(frames)
        return features if self.pre_prompt is not None else self.post_prompt(features)
