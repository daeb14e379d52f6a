"""Visual prompts behind the image tower: from the features of frames to that of a video.

Each takes (B, T, D), raw, and gives (B, D), raw.
"""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmclip.clip.temporal_blocks import init_normal, run_blocks, temporal_blocks
from mmclip.registry import MODELS


class PostPrompt(BaseModule):
    """What the heads share.

    Args:
        embed_dim: D.
        num_frames: T of training; other numbers are an error only where a table of T rows is used.
    """

    def __init__(self, *, embed_dim: int, num_frames: int) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.num_frames = num_frames

    def init_weights(self) -> None:
        """Nothing: they are made with their weights, so that loaded ones stay."""


@MODELS.register_module()
class ActionMeanP(PostPrompt):
    """The mean over frames, which are not normalized before.

    Shapes:
        (B, T, D) -> (B, D).
    """

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        return frames.mean(1)


@MODELS.register_module()
class ActionConv1D(PostPrompt):
    """A depthwise convolution over time, residual, mean.

    The kernel starts as a shift: the first quarter of the channels copies the frame before, the
    last the frame behind, the half between stays.

    Source: official ``visual_prompt`` (``Conv_1D``), which reshapes (B, T, D) to (B, D, T) without
    transposing, so that its kernel runs over a mixture of channels and frames.

    Args:
        official_view: Whether to do as the official code does, for its checkpoints.

    Shapes:
        (B, T, D) -> (B, D).
    """

    def __init__(self, *, embed_dim: int, num_frames: int, official_view: bool = False) -> None:
        super().__init__(embed_dim=embed_dim, num_frames=num_frames)
        self.official_view = official_view
        self.conv = nn.Conv1d(embed_dim, embed_dim, 3, padding=1, groups=embed_dim, bias=False)
        quarter = embed_dim // 4
        weight = torch.zeros(embed_dim, 1, 3)
        weight[:quarter, 0, 0] = 1
        weight[quarter : 3 * quarter, 0, 1] = 1
        weight[3 * quarter :, 0, 2] = 1
        self.conv.weight.data.copy_(weight)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        if self.official_view:
            mixed = frames.reshape(len(frames), frames.shape[2], frames.shape[1])
            out = self.conv(mixed).transpose(1, 2)
        else:
            out = self.conv(frames.transpose(1, 2)).transpose(1, 2)
        return (out + frames).mean(1)


@MODELS.register_module()
class ActionLSTM(PostPrompt):
    """One LSTM layer over the frames, residual, mean.

    Shapes:
        (B, T, D) -> (B, D).
    """

    def __init__(self, *, embed_dim: int, num_frames: int) -> None:
        super().__init__(embed_dim=embed_dim, num_frames=num_frames)
        self.lstm = nn.LSTM(embed_dim, embed_dim, batch_first=True)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        if not frames.shape[0]:  # cuDNN and ATen refuse an empty batch
            return frames.mean(1)
        return (self.lstm(frames)[0] + frames).mean(1)


@MODELS.register_module()
class ActionTransf(PostPrompt):
    """Position embeddings and pre-norm transformer blocks over the frames, residual, mean.

    The best of the paper, and the default. It does not start from CLIP's weights: N(0, 0.02), zero
    biases, and the attention's input projection as PyTorch makes it.

    Source: official ``visual_prompt`` (``Transf``) and ``TemporalTransformer``. MMAction2's port
    has a norm eps of 1e-5.

    Args:
        layers: Number of blocks.
        heads: None is D // 64, at least one.
        max_frames: Rows of the position table; 77 officially (the text's context length).
        norm_eps: Of the layer norms.

    Shapes:
        (B, T, D) with T <= max_frames -> (B, D).

    Raises:
        ValueError: more frames than the table has rows; heads that do not divide D.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_frames: int,
        layers: int = 6,
        heads: int | None = None,
        max_frames: int = 77,
        norm_eps: float = 1e-12,
    ) -> None:
        super().__init__(embed_dim=embed_dim, num_frames=num_frames)
        if num_frames > max_frames:
            raise ValueError(f'max_frames: {max_frames} rows are too few for {num_frames} frames')
        self.position_embedding = nn.Embedding(max_frames, embed_dim)
        self.blocks = temporal_blocks(
            width=embed_dim, layers=layers, heads=heads, norm_eps=norm_eps
        )
        init_normal(self)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """A table of T rows (MMAction2's port) fills the first rows of a longer one.

        Rows beyond T keep what they have; they are not read with T frames.
        """
        name, own = f'{prefix}position_embedding.weight', self.position_embedding.weight
        table = state_dict.get(name)
        if table is not None and self.num_frames <= len(table) != len(own):
            rows = min(len(table), len(own))
            state_dict[name] = torch.cat([table[:rows].to(own), own.detach()[rows:]])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        count, rows = frames.shape[1], self.position_embedding.num_embeddings
        if count > rows:
            raise ValueError(f'frames: {count} are more than the {rows} of max_frames')
        x = frames + self.position_embedding.weight[:count].to(frames.dtype)
        x = run_blocks(self.blocks, x)
        return (x.to(frames.dtype) + frames).mean(1)


@MODELS.register_module()
class ActionTransfCls(PostPrompt):
    """A class token before the frames, PyTorch's post-norm encoder; the token is the video.

    Source: official ``TAggregate`` (``Transf_cls``): ReLU, 8 heads, 2048 hidden channels, dropout
    0.1, a final norm, no residual around it. Loading a checkpoint of another T is an error.

    Args:
        layers: Number of layers.
        heads: Of the attention.
        hidden_dim: Of the feed-forward part.
        dropout: Of attention and feed-forward part.

    Shapes:
        (B, T, D) with T = num_frames -> (B, D); one frame alone (an example image) is repeated.

    Raises:
        ValueError: another number of frames.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_frames: int,
        layers: int = 6,
        heads: int = 8,
        hidden_dim: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(embed_dim=embed_dim, num_frames=num_frames)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_frames + 1, embed_dim))
        layer = nn.TransformerEncoderLayer(embed_dim, heads, hidden_dim, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(embed_dim), enable_nested_tensor=False
        )
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """As the class says."""
        wanted = self.pos_embed.shape[1] - 1
        if frames.shape[1] == 1:
            frames = frames.expand(-1, wanted, -1)
        if frames.shape[1] != wanted:
            raise ValueError(
                f'frames: {frames.shape[1]} of them, Transf_cls was built for num_frames={wanted}'
            )
        if not frames.shape[0]:
            return frames.mean(1)
        x = torch.cat([self.cls_token.expand(len(frames), -1, -1).to(frames.dtype), frames], 1)
        return self.encoder(x + self.pos_embed.to(frames.dtype))[:, 0]
