"""A Swin whose last stage lets words and windows of the image look at each other."""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, build_dropout
from mmdet.models.backbones.swin import ShiftWindowMSA, SwinBlock, SwinTransformer, WindowMSA
from mmengine.model.weight_init import trunc_normal_
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmclip.registry import MODELS

Text = dict[str, torch.Tensor]
OTHER_WINDOW = -100.0  # added to the logits of pixels that the shift put into one window


class TextWindowAttention(WindowMSA):
    """Attention of the windows to themselves and all words, and of the words to all windows and
    themselves, in one set of heads.

    Source: ``WindowAttention`` of ``SWINT.VERSION: vl``.

    Args:
        text_dim: D of a token.
        max_tokens: T for which there are biases.
        args, kwargs: The host's.
    """

    def __init__(self, *args, text_dim: int, max_tokens: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        width, heads = self.embed_dims, self.num_heads
        self.qkv_text = nn.Linear(text_dim, 3 * width, bias=self.qkv.bias is not None)
        self.proj_text = nn.Linear(width, text_dim)
        # Of words as keys of pixels (0) and as queries for pixels (1).
        self.image_text_bias = nn.Parameter(torch.zeros(2, heads, max_tokens))
        self.text_text_bias = nn.Parameter(torch.zeros(heads, max_tokens, max_tokens))

    def init_weights(self) -> None:
        super().init_weights()
        for bias in (self.image_text_bias, self.text_text_bias):
            trunc_normal_(bias, std=0.02)

    def _split(self, projected: torch.Tensor) -> torch.Tensor:
        """(B, N, 3 C) -> (3, B, heads, N, C / heads)."""
        rows, count, width = projected.shape
        shape = rows, count, 3, self.num_heads, width // (3 * self.num_heads)
        return projected.reshape(shape).permute(2, 0, 3, 1, 4)

    def _window_logits(
        self, q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        count = self.window_size[0] * self.window_size[1]
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        logits = q @ k.mT + bias.view(count, count, -1).permute(2, 0, 1)
        if mask is None:
            return logits
        logits = logits.unflatten(0, (-1, len(mask))) + mask[:, None]
        return logits.flatten(0, 1)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None,
        text: torch.Tensor,
        padding: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows and words after looking at each other.

        Args:
            x: W windows of N pixels of each image, image by image.
            mask: Added to the logits between pixels; None for none.
            text: Words of each image.
            padding: Added to the logits of words as keys, -inf at padding.

        Shapes:
            (B W, N, C), (W, N, N), (B, T, D), (B, T) -> (B W, N, C), (B, T, D).
        """
        batch, tokens = text.shape[:2]
        windows = len(x) // batch
        q, k, v = self._split(self.qkv(x))
        text_q, text_k, text_v = self._split(self.qkv_text(text))
        q, text_q = q * self.scale, text_q * self.scale
        to_words, of_words = self.image_text_bias[:, :, :tokens]
        padding = padding[:, None, None]

        own = self._window_logits(q, k, mask)
        words = to_words[:, None] + padding  # (B, heads, 1, T)
        words = words.repeat_interleave(windows, 0)
        words = q @ text_k.repeat_interleave(windows, 0).mT + words
        attention = self.attn_drop(torch.cat([own, words], -1).softmax(-1))
        values = torch.cat([v, text_v.repeat_interleave(windows, 0)], 2)
        x = (attention @ values).transpose(1, 2).flatten(2)

        def of_image(part: torch.Tensor) -> torch.Tensor:  # (B, heads, W N, C / heads)
            return part.unflatten(0, (batch, windows)).transpose(1, 2).flatten(2, 3)

        pixels = text_q @ of_image(k).mT + of_words[..., None]
        words = text_q @ text_k.mT + self.text_text_bias[:, :tokens, :tokens] + padding
        attention = self.attn_drop(torch.cat([pixels, words], -1).softmax(-1))
        text = attention @ torch.cat([of_image(v), text_v], 2)
        text = self.proj_text(text.transpose(1, 2).flatten(2))
        return self.proj_drop(self.proj(x)), self.proj_drop(text)


class TextShiftedAttention(ShiftWindowMSA):
    """The host's cutting into (shifted) windows around :class:`TextWindowAttention`."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: int,
        *,
        shift_size: int,
        text_dim: int,
        max_tokens: int,
        drop_path: float,
        **kwargs,
    ) -> None:
        nn.Module.__init__(self)
        self.window_size, self.shift_size = window_size, shift_size
        self.w_msa = TextWindowAttention(
            embed_dims,
            num_heads,
            (window_size, window_size),
            text_dim=text_dim,
            max_tokens=max_tokens,
            **kwargs,
        )
        self.drop = build_dropout(dict(type='DropPath', drop_prob=drop_path))

    def _shift_mask(self, height: int, width: int, device: torch.device) -> torch.Tensor | None:
        """(W, N, N): -100 between pixels that were not neighbors before the shift."""
        if not self.shift_size:
            return None
        size, shift = self.window_size, self.shift_size

        def part(length: int) -> torch.Tensor:
            place = torch.arange(length, device=device)
            return (place >= length - size).long() + (place >= length - shift).long()

        region = 3 * part(height)[:, None] + part(width)
        region = self.window_partition(region[None, :, :, None]).flatten(1)
        return (region[:, None] != region[:, :, None]) * OTHER_WINDOW

    def forward(
        self,
        x: torch.Tensor,
        size: tuple[int, int],
        text: torch.Tensor,
        padding: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, H W, C), (H, W), (B, T, D), (B, T) -> (B, H W, C), (B, T, D)."""
        batch, _, width = x.shape
        x = x.view(batch, *size, width)
        right, below = (-size[1] % self.window_size, -size[0] % self.window_size)
        x = F.pad(x, (0, 0, 0, right, 0, below))
        padded = x.shape[1:3]
        shift = (self.shift_size, self.shift_size)
        x = x.roll([-s for s in shift], (1, 2))
        windows = self.window_partition(x).flatten(1, 2)
        mask = self._shift_mask(*padded, x.device)
        windows, text = self.w_msa(windows, mask, text, padding)
        windows = windows.unflatten(1, (self.window_size, self.window_size))
        x = self.window_reverse(windows, *padded).roll(shift, (1, 2))
        x = x[:, : size[0], : size[1]].reshape(batch, -1, width)
        return self.drop(x), self.drop(text)


class TextSwinBlock(SwinBlock):
    """A block for pixels and one of the same form for words, with a common attention."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        *,
        window_size: int,
        shift: bool,
        text_dim: int,
        max_tokens: int,
        mlp_ratio: int,
        drop_path: float,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        act_cfg: dict,
        norm_cfg: dict,
        with_cp: bool = False,
    ) -> None:
        nn.Module.__init__(self)
        self.with_cp = with_cp
        self.attn = TextShiftedAttention(
            embed_dims,
            num_heads,
            window_size,
            shift_size=window_size // 2 if shift else 0,
            text_dim=text_dim,
            max_tokens=max_tokens,
            drop_path=drop_path,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attn_drop_rate=attn_drop_rate,
            proj_drop_rate=drop_rate,
        )
        for suffix, width in (('', embed_dims), ('_text', text_dim)):
            self.add_module(f'norm1{suffix}', build_norm_layer(norm_cfg, width)[1])
            self.add_module(f'norm2{suffix}', build_norm_layer(norm_cfg, width)[1])
            ffn = FFN(
                embed_dims=width,
                feedforward_channels=mlp_ratio * width,
                ffn_drop=drop_rate,
                dropout_layer=dict(type='DropPath', drop_prob=drop_path),
                act_cfg=act_cfg,
            )
            self.add_module(f'ffn{suffix}', ffn)

    def _forward(
        self, x: torch.Tensor, size: tuple[int, int], text: torch.Tensor, padding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        more, more_text = self.attn(self.norm1(x), size, self.norm1_text(text), padding)
        x, text = x + more, text + more_text
        x = self.ffn(self.norm2(x), identity=x)
        return x, self.ffn_text(self.norm2_text(text), identity=text)

    def forward(
        self, x: torch.Tensor, size: tuple[int, int], text: torch.Tensor, padding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, H W, C), (H, W), (B, T, D), (B, T) -> (B, H W, C), (B, T, D)."""
        if self.with_cp and self.training:
            return checkpoint(self._forward, x, size, text, padding, use_reentrant=False)
        return self._forward(x, size, text, padding)


@MODELS.register_module()
class TextSwin(SwinTransformer):
    """Swin with words in the attention of every block of the last stage.

    Source: ``SWINT.VERSION: vl`` of the official code, which no released configuration uses. Pixels
    look at their window and all words, words at all windows of the image and all words. Its first
    stages do not see words: the output before the last one is the image as it was before the
    fusion (``'c4'`` of :class:`mmclip.InterImageRegionWordLoss`).

    Args:
        text_dim: D of a token.
        max_tokens: Most tokens of a text.
        kwargs: The host's; ``out_indices`` must hold the last stage.

    Raises:
        ValueError: a text with more tokens than ``max_tokens``; no output of the last stage.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        max_tokens: int = 256,
        embed_dims: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        num_heads: tuple[int, ...] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: int = 4,
        drop_path_rate: float = 0.2,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        act_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        if len(depths) - 1 not in kwargs.get('out_indices', (0, 1, 2, 3)):
            raise ValueError(
                f'out_indices: {kwargs["out_indices"]}; the last stage, {len(depths) - 1}, is '
                'where words come in'
            )
        blocks, last = sum(depths), depths[-1]
        rates = torch.linspace(0, drop_path_rate, blocks).tolist()
        common = dict(
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            act_cfg=act_cfg or dict(type='GELU'),
            norm_cfg=norm_cfg or dict(type='LN'),
            with_cp=with_cp,
        )
        super().__init__(
            embed_dims=embed_dims,
            depths=(*depths[:-1], 0),  # the last stage is ours
            num_heads=num_heads,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            drop_path_rate=rates[blocks - last - 1],
            **common,
            **kwargs,
        )
        self.max_tokens = max_tokens
        self.stages[-1].blocks.extend(
            TextSwinBlock(
                self.num_features[-1],
                num_heads[-1],
                window_size=window_size,
                shift=index % 2 == 1,
                text_dim=text_dim,
                max_tokens=max_tokens,
                mlp_ratio=mlp_ratio,
                drop_path=rates[blocks - last + index],
                **common,
            )
            for index in range(last)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What does not depend on words.

        Shapes:
            (B, 3, H, W) -> maps (B, C, h, w) of the stages in ``out_indices`` but the last one,
            and what goes into the last stage.
        """
        x, size = self.patch_embed(x)
        if self.use_abs_pos_embed:
            x = x + self.absolute_pos_embed
        x, maps = self.drop_after_pos(x), []
        for index, stage in enumerate(self.stages[:-1]):
            x, new_size, out, size = stage(x, size)
            if index in self.out_indices:
                maps.append(_as_map(getattr(self, f'norm{index}')(out), size))
            size = new_size
        return [*maps, _as_map(x, size)]

    def read_words(self, x: torch.Tensor, text: Text) -> tuple[torch.Tensor, Text]:
        """The last stage.

        Args:
            x: The last map of :meth:`forward`.
            text: ``hidden`` and ``mask``, True for words.

        Shapes:
            (B, C, h, w), (B, T, D), (B, T) -> (B, C, h, w), and ``text`` with a new ``hidden``.
        """
        words, mask = text['hidden'], text['mask'].bool()
        if words.shape[1] > self.max_tokens:
            raise ValueError(
                f'text: {words.shape[1]} tokens; this backbone has biases for {self.max_tokens} '
                '(max_tokens)'
            )
        padding = words.new_zeros(mask.shape).masked_fill(~mask, float('-inf'))
        size = x.shape[2:]
        x = x.flatten(2).mT
        for block in self.stages[-1].blocks:
            x, words = block(x, size, words, padding)
        x = getattr(self, f'norm{len(self.stages) - 1}')(x)
        return _as_map(x, size), text | dict(hidden=words)


def _as_map(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, H W, C) -> (B, C, H, W)."""
    return x.mT.unflatten(2, tuple(size)).contiguous()
