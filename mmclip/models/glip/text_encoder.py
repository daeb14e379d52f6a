"""Text towers that answer with one feature per token: BERT, and CLIP's without its causal mask."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmclip.clip.loading import build_clip, clip_config
from mmclip.io.checkpoint import read_state_dict
from mmclip.registry import MODELS, TASK_UTILS
from mmclip.text.offset_tokenizers import OffsetTokenizer, TokenBatch

BERT_WEIGHTS = ('model.safetensors', 'pytorch_model.bin')


class TokenEncoder(BaseModule):
    """What the two towers share.

    Attributes:
        tokenizer: Texts to a :class:`~mmclip.text.offset_tokenizers.TokenBatch`.
        embed_dim: C.
        max_tokens: T that texts are padded or cut to.
    """

    tokenizer: OffsetTokenizer
    embed_dim: int
    max_tokens: int

    def tokenize(self, texts: Sequence[str], pad: bool = True) -> TokenBatch:
        """Texts as at most ``max_tokens`` tokens."""
        return self.tokenizer(texts, self.max_tokens, pad)

    def encode(self, texts: Sequence[str], pad: bool = True) -> dict[str, torch.Tensor]:
        """:meth:`forward` of texts, on the tower's device."""
        batch = self.tokenize(texts, pad)
        device = next(self.parameters()).device
        return self(batch.ids.to(device), batch.mask.to(device))


@MODELS.register_module()
class BertTokenEncoder(TokenEncoder):
    """BERT without a pooler.

    ``hidden`` is the last layer; ``embedded`` the mean of the last ``num_last_layers`` layers,
    divided by their number once more (no difference for GLIP's 1), zero at padding.

    Source: official ``BertEncoder``. It ran transformers 4, whose mask adds -10000; transformers 5
    leaves padding out altogether: equal to float precision.

    Args:
        tokenizer: Config of the tokenizer.
        config: What differs from bert-base-uncased, as ``transformers.BertConfig`` names it.
        max_tokens: T.
        num_last_layers: Layers that ``embedded`` averages.
        pretrained: Folder or file with Hugging Face weights, or a model of the hub; read by
            ``init_weights``, never when the module is built.
        with_cp: Recompute activations in the backward pass.

    Shapes:
        ids (B, T) int64, mask (B, T) bool -> hidden, embedded (B, T, C), aggregate (B, C),
        mask (B, T).

    Raises:
        ValueError: more last layers than there are; more tokens than BERT has positions.
    """

    def __init__(
        self,
        *,
        tokenizer: dict | None = None,
        config: dict | None = None,
        max_tokens: int = 256,
        num_last_layers: int = 1,
        pretrained: str | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        from transformers import BertConfig, BertModel

        settings = BertConfig(**(config or {}))
        if not 1 <= num_last_layers <= settings.num_hidden_layers:
            raise ValueError(
                f'num_last_layers: {num_last_layers}; allowed are 1 to {settings.num_hidden_layers}'
            )
        if max_tokens > settings.max_position_embeddings:
            raise ValueError(
                f'max_tokens: {max_tokens} is more than the {settings.max_position_embeddings} '
                'positions of this BERT'
            )
        self.bert = BertModel(settings, add_pooling_layer=False)
        if with_cp:
            self.bert.gradient_checkpointing_enable()
        self.tokenizer = TASK_UTILS.build(tokenizer or dict(type='mmclip.BertTokens'))
        self.embed_dim = settings.hidden_size
        self.max_tokens = max_tokens
        self.num_last_layers = num_last_layers
        self.pretrained = pretrained

    def init_weights(self) -> None:
        """Read ``pretrained``; without one the random weights stay."""
        if self.pretrained is not None and not self.is_init:
            self.bert.load_state_dict(bert_state(read_state_dict(bert_file(self.pretrained))))
        self._is_init = True

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.bert(
            input_ids=ids,
            attention_mask=mask.long(),
            output_hidden_states=self.num_last_layers > 1,
        )
        hidden = found.last_hidden_state
        embedded = hidden
        if self.num_last_layers > 1:
            layers = found.hidden_states[-self.num_last_layers :]
            embedded = torch.stack(layers).mean(0) / self.num_last_layers
        embedded = embedded * mask[..., None]
        aggregate = embedded.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return dict(hidden=hidden, embedded=embedded, aggregate=aggregate, mask=mask)


def bert_file(pretrained: str | os.PathLike) -> Path:
    """The file with the weights of a folder, a file, or a model of the hub.

    Raises:
        FileNotFoundError: neither here nor to be had.
    """
    path = Path(pretrained)
    if path.is_file():
        return path
    if path.is_dir():
        for name in BERT_WEIGHTS:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f'pretrained: {path} holds none of {", ".join(BERT_WEIGHTS)}')
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(pretrained), BERT_WEIGHTS[0]))
    except Exception as error:  # no such model, no network, no permission ...
        raise FileNotFoundError(
            f'pretrained: {str(pretrained)!r} is no file or folder and cannot be had from the hub '
            f'({type(error).__name__}). On a machine with a network run `hf download {pretrained} '
            f'--local-dir data/{path.name}` and name that folder'
        ) from error


def bert_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A BERT's weights under the names of a ``BertModel`` without pooler.

    Drops heads, the pooler and position numbers, and renames what old checkpoints call ``gamma``
    and ``beta``.
    """
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix('bert.')
        if name.startswith(('cls.', 'pooler.')) or name.endswith('position_ids'):
            continue
        name = name.replace('LayerNorm.gamma', 'LayerNorm.weight')
        renamed[name.replace('LayerNorm.beta', 'LayerNorm.bias')] = value
    return renamed


def resize_positions(positions: torch.Tensor, length: int) -> torch.Tensor:
    """Linear interpolation of position embeddings, (t, C) -> (T, C)."""
    if len(positions) in (1, length):
        return positions.expand(length, -1).clone()
    return F.interpolate(positions.T[None].float(), size=length, mode='linear')[0].T.contiguous()


class CLIPTokenBlock(nn.Module):
    """CLIP's residual block: attention, then a perceptron, each behind a norm."""

    def __init__(
        self, width: int, heads: int, *, quick_gelu: bool, eps: float, drop_path: float
    ) -> None:
        super().__init__()
        from timm.layers import DropPath

        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential()
        self.mlp.add_module('c_fc', nn.Linear(width, 4 * width))
        self.mlp.add_module('gelu', QuickGELU() if quick_gelu else nn.GELU())
        self.mlp.add_module('c_proj', nn.Linear(4 * width, width))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(
        self, x: torch.Tensor, padding: torch.Tensor, unseen: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, T, C) features; what no token sees (B, T), and what each does not see."""
        y = self.ln_1(x)
        y = self.attn(y, y, y, key_padding_mask=padding, attn_mask=unseen, need_weights=False)[0]
        x = x + self.drop_path(y)
        return x + self.drop_path(self.mlp(self.ln_2(x)))


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


@MODELS.register_module()
class CLIPTokenEncoder(TokenEncoder):
    """CLIP's text transformer with the features of all tokens, looking both ways.

    ``hidden`` and ``embedded`` are the same.

    Source: official ``CLIPTransformer``: no causal mask, norms with eps 1e-12, no projection.

    Args:
        model: open_clip name, ``'mini_clip'``, json or dict: width, heads, layers, vocabulary and
            activation come from its ``text_cfg``.
        pretrained: open_clip tag, file, folder or ``'mini_clip'``; read by ``init_weights``.
            Positions are interpolated to ``max_tokens``.
        tokenizer: Config of the tokenizer.
        max_tokens: T.
        causal: Keep CLIP's causal mask, e.g. for a frozen tower.
        apart: Read what stands between full stops as texts of their own, exactly as CLIP does
            (causal, positions from the start), and give all words of a part, and the full stop
            behind it, the feature of the whole part. Then a class depends neither on its place nor
            on the classes beside it, as in DetCLIP (arXiv 2209.09407) section 3.2; a sentence
            without full stops is one part, a full stop inside a name divides it, and punctuation
            that is one token with the full stop ('!.') goes with it. Positions are not
            interpolated.
        quick_gelu: None takes the model's own activation.
        eps: Of the norms.
        drop_path: Of the last block; the first has none.
        with_cp: Recompute activations in the backward pass.

    Shapes:
        ids (B, T) int64, mask (B, T) bool -> hidden, embedded (B, T, C), aggregate (B, C),
        mask (B, T).

    Raises:
        ValueError: a model whose text tower is none of CLIP's own.
    """

    def __init__(
        self,
        *,
        model: str | dict = 'ViT-B-32-quickgelu',
        pretrained: str | None = None,
        tokenizer: dict | None = None,
        max_tokens: int = 256,
        causal: bool = False,
        apart: bool = False,
        quick_gelu: bool | None = None,
        eps: float = 1e-12,
        drop_path: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        config = clip_config(model)
        text = config['text_cfg']
        if 'hf_model_name' in text:
            raise ValueError(f"model: {model!r} has another text tower than CLIP's own")
        width, heads, layers = (text[name] for name in ('width', 'heads', 'layers'))
        quick_gelu = config.get('quick_gelu', False) if quick_gelu is None else quick_gelu
        self.token_embedding = nn.Embedding(text.get('vocab_size', 49408), width)
        positions = text.get('context_length', 77) if apart else max_tokens
        self.positional_embedding = nn.Parameter(torch.empty(positions, width))
        settings = dict(quick_gelu=quick_gelu, eps=eps)
        rates = torch.linspace(0, drop_path, layers).tolist()
        self.resblocks = nn.ModuleList(
            CLIPTokenBlock(width, heads, drop_path=rate, **settings) for rate in rates
        )
        self.ln_final = nn.LayerNorm(width, eps=eps)
        self.tokenizer = TASK_UTILS.build(tokenizer or dict(type='mmclip.CLIPTokens'))
        stops = torch.tensor(self.tokenizer.stop_ids if apart else [], dtype=torch.long)
        self.register_buffer('stop_ids', stops, persistent=False)
        self.model, self.pretrained = model, pretrained
        self.embed_dim, self.max_tokens = width, max_tokens
        self.causal, self.apart, self.heads, self.with_cp = causal, apart, heads, with_cp
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random weights: normal with a standard deviation of .02, biases 0."""
        nn.init.trunc_normal_(self.positional_embedding, std=0.02)
        nn.init.trunc_normal_(self.token_embedding.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def init_weights(self) -> None:
        """Read ``pretrained``; without one the random weights stay."""
        if self.pretrained is not None and not self.is_init:
            state = build_clip(self.model, self.pretrained).state_dict()
            self.load_state_dict(clip_token_state(state, len(self.positional_embedding)))
        self._is_init = True

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        length = ids.shape[1]
        padding, places, unseen = ~mask.bool(), torch.arange(length, device=ids.device), None
        if self.apart:
            ids, places, ends, unseen = self.parts(ids)
            unseen = unseen.repeat_interleave(self.heads, 0)
        elif self.causal:
            unseen = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)
        x = self.token_embedding(ids) + self.positional_embedding[places]
        for block in self.resblocks:
            if self.with_cp and self.training:
                x = checkpoint(block, x, padding, unseen, use_reentrant=False)
            else:
                x = block(x, padding, unseen)
        x = self.ln_final(x)
        if self.apart:
            x = x.gather(1, ends[..., None].expand_as(x))
        real = mask[..., None].to(x.dtype)
        aggregate = (x * real).sum(1) / real.sum(1).clamp(min=1)
        return dict(hidden=x, embedded=x, aggregate=aggregate, mask=mask)

    def parts(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Texts of several parts as if each part stood alone behind the start token.

        Shapes:
            ids (B, T) -> ids (B, T) with the end token in place of full stops, the position of each
            token in its part (B, T), where its part ends (B, T), and what each token does not see
            (B, T, T) bool.
        """
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        stop = torch.isin(ids, self.stop_ids)
        ids = ids.masked_fill(stop, self.tokenizer.end_id)
        end = ids == self.tokenizer.end_id
        first = F.pad(end[:, :-1], (1, 0))  # the token behind an end
        ends = torch.where(end, places, places.shape[1] - 1).flip(1).cummin(1).values.flip(1)
        starts = torch.where(first, places, 1).cummax(1).values
        own = (places - starts + 1).clamp(max=len(self.positional_embedding) - 1)
        part = first.cumsum(1)
        unseen = (part[:, :, None] != part[:, None]) | (places[:, :, None] < places[:, None])
        unseen[:, :, 0] = False  # the start token
        return ids, own, ends, unseen


def clip_token_state(state: dict[str, torch.Tensor], max_tokens: int) -> dict[str, torch.Tensor]:
    """The text weights of an open_clip state under the names of :class:`CLIPTokenEncoder`."""
    names = ('token_embedding.', 'positional_embedding', 'transformer.resblocks.', 'ln_final.')
    plain = {name.removeprefix('text.'): value for name, value in state.items()}
    text = {
        name.removeprefix('transformer.'): value.float()
        for name, value in plain.items()
        if name.startswith(names)
    }
    text['positional_embedding'] = resize_positions(text['positional_embedding'], max_tokens)
    return text
