"""Reads a CLIP's architecture off its weights or its Hugging Face config."""

import math

import torch

HEAD_WIDTH = 64  # of every released model
EPS = 1e-5  # of layer norms, in open_clip unless it is told


def _count(state: dict[str, torch.Tensor], prefix: str) -> int:
    """Number of blocks under a prefix."""
    numbers = {k.removeprefix(prefix).split('.')[0] for k in state if k.startswith(prefix)}
    return len(numbers)


def clip_config_of(
    state: dict[str, torch.Tensor],
    *,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    quick_gelu: bool = True,
) -> dict:
    """open_clip's architecture dict for weights in open_clip's layout.

    Every size is in the shapes, but for the numbers of heads, which default to 64 channels a head
    as in all released models, and the activation.

    Source: as ``build_model`` of the official code; heads can be given.

    Args:
        state: Weights from :func:`mmclip.clip.layouts.to_open_clip`.
        vision_heads: Heads of the ViT's attention, or of the ResNet's attention pool.
        text_heads: Heads of the text tower.
        quick_gelu: Whether the weights were trained with QuickGELU, as OpenAI's were.

    Returns:
        A dict that :func:`mmclip.clip.loading.build_clip` takes as ``model``.

    Raises:
        ValueError: not the weights of an OpenAI CLIP; a width that the heads do not divide.
    """
    needed = ('text_projection', 'positional_embedding', 'token_embedding.weight')
    missing = [name for name in (*needed, 'visual.conv1.weight') if name not in state]
    if missing:
        raise ValueError(f'state: not a CLIP in open_clip layout, {", ".join(missing)} missing')
    text_width = state['positional_embedding'].shape[1]
    text_heads = text_heads or max(1, text_width // HEAD_WIDTH)
    if 'visual.attnpool.positional_embedding' in state:
        width = state['visual.layer1.0.conv1.weight'].shape[0]
        grid = math.isqrt(state['visual.attnpool.positional_embedding'].shape[0] - 1)
        attention = width * 32
        vision = dict(
            layers=[_count(state, f'visual.layer{stage}.') for stage in (1, 2, 3, 4)],
            width=width,
            image_size=grid * 32,
        )
    else:
        width, _, patch, _ = state['visual.conv1.weight'].shape
        grid = math.isqrt(state['visual.positional_embedding'].shape[0] - 1)
        attention = width
        vision = dict(
            layers=_count(state, 'visual.transformer.resblocks.'),
            width=width,
            patch_size=patch,
            image_size=grid * patch,
            mlp_ratio=state['visual.transformer.resblocks.0.mlp.c_fc.weight'].shape[0] / width,
        )
    vision_heads = vision_heads or max(1, attention // HEAD_WIDTH)
    for name, size, heads in (
        ('vision_heads', attention, vision_heads),
        ('text_heads', text_width, text_heads),
    ):
        if size % heads:
            raise ValueError(f'{name}: {heads} heads do not divide {size} channels')
    vision['head_width'] = attention // vision_heads
    text = dict(
        context_length=state['positional_embedding'].shape[0],
        vocab_size=state['token_embedding.weight'].shape[0],
        width=text_width,
        heads=text_heads,
        layers=_count(state, 'transformer.resblocks.'),
        mlp_ratio=state['transformer.resblocks.0.mlp.c_fc.weight'].shape[0] / text_width,
    )
    return dict(
        embed_dim=state['text_projection'].shape[1],
        vision_cfg=vision,
        text_cfg=text,
        quick_gelu=quick_gelu,
    )


def _norm(part: dict) -> dict:
    eps = part.get('layer_norm_eps', EPS)
    return {} if eps == EPS else dict(norm_kwargs=dict(eps=eps))


def _quick_gelu(vision: dict, text: dict) -> bool:
    """The activation, which is one for both towers in open_clip."""
    kinds = [part.get('hidden_act', 'quick_gelu') for part in (vision, text)]
    if kinds[0] != kinds[1] or kinds[0] not in ('quick_gelu', 'gelu'):
        raise ValueError(
            f'hidden_act: {kinds[0]!r} in vision_config and {kinds[1]!r} in text_config; open_clip '
            "has 'quick_gelu' or 'gelu', the same in both towers"
        )
    return kinds[0] == 'quick_gelu'


def clip_config_of_hugging_face(config: dict) -> dict:
    """open_clip's architecture dict for the ``config.json`` of a Hugging Face ``CLIPModel``.

    Args:
        config: With ``vision_config``, ``text_config`` and ``projection_dim``; what it leaves out
            has the values of ViT-B/32, as in transformers.

    Raises:
        ValueError: an activation that open_clip does not have, or not in one tower alone.
    """
    vision, text = config.get('vision_config') or {}, config.get('text_config') or {}
    width = vision.get('hidden_size', 768)
    text_width = text.get('hidden_size', 512)
    text_cfg = dict(
        context_length=text.get('max_position_embeddings', 77),
        vocab_size=text.get('vocab_size', 49408),
        width=text_width,
        heads=text.get('num_attention_heads', 8),
        layers=text.get('num_hidden_layers', 12),
        mlp_ratio=text.get('intermediate_size', 2048) / text_width,
        **_norm(text),
    )
    # transformers reads the highest id where a config has the old default 2, else the first end id.
    if (end := text.get('eos_token_id', 49407)) != 2:
        text_cfg.update(pool_type='eos', eos_id=end)
    return dict(
        embed_dim=config.get('projection_dim', 512),
        vision_cfg=dict(
            layers=vision.get('num_hidden_layers', 12),
            width=width,
            head_width=width // vision.get('num_attention_heads', 12),
            mlp_ratio=vision.get('intermediate_size', 3072) / width,
            patch_size=vision.get('patch_size', 32),
            image_size=vision.get('image_size', 224),
            **_norm(vision),
        ),
        text_cfg=text_cfg,
        quick_gelu=_quick_gelu(vision, text),
    )
