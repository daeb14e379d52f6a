"""Official CLIP4Clip checkpoints, and MMAction2's port, to the names of our modules.

    official pytorch_model.bin.N             ours
    clip.visual.conv2.weight                 patch_3d.weight
    clip.*                                   clip.*
    frame_position_embeddings.weight         sim_head.position_embedding.weight (seqTransf only)
    transformerClip.resblocks.N.*            sim_head.blocks.N.*
    lstm_visual.*                            sim_head.lstm.*
    cross.embeddings.position_embeddings.*   sim_head.position_embedding.*
    cross.transformer.resblocks.N.*          sim_head.blocks.N.*
    cross.pooler.{ln_pool,dense}.*           sim_head.pooler.*
    similarity_dense.*                       sim_head.score.*
    MMAction2's port
    clip.*                                   clip.*
    adapter.positional_embedding             sim_head.position_embedding.weight
    adapter.transformer.resblocks.N.*        sim_head.blocks.N.*

Every weight is used but the position table that seqLSTM holds and never reads. The port's head
averages frames of any length and has norms of eps 1e-5: ``sim_head=dict(type=...,
normalize_frames=False)``, and for its transformer ``norm_eps=1e-5, max_frames=`` its number of
segments.
"""

import re

import torch

from mmclip.clip.layouts import to_open_clip
from mmclip.io.rename import as_float, rename

State = dict[str, torch.Tensor]
_TABLE = 'frame_position_embeddings.weight'
_RULES = (
    (r'frame_position_embeddings\.weight', 'position_embedding.weight'),
    (r'transformerClip\.resblocks\.(.*)', r'blocks.\1'),
    (r'lstm_visual\.(.*)', r'lstm.\1'),
    (r'cross\.embeddings\.position_embeddings\.weight', 'position_embedding.weight'),
    (r'cross\.transformer\.resblocks\.(.*)', r'blocks.\1'),
    (r'cross\.pooler\.((?:ln_pool|dense)\..*)', r'pooler.\1'),
    (r'similarity_dense\.(.*)', r'score.\1'),
    (r'adapter\.positional_embedding', 'position_embedding.weight'),
    (r'adapter\.transformer\.resblocks\.(.*)', r'blocks.\1'),
)
_CLIP = re.compile(
    r'(?:visual\.)?(?:transformer\.resblocks\.\d+\.(?:attn|ln_1|ln_2|mlp)\..*)'
    r'|visual\.(?:class_embedding|positional_embedding|proj|conv[12]\.weight)'
    r'|visual\.ln_(?:pre|post)\.(?:weight|bias)|ln_final\.(?:weight|bias)'
    r'|token_embedding\.weight|positional_embedding|text_projection|logit_scale'
)


def _head_name(name: str) -> str:
    new = rename(name, _RULES)
    if new is None:
        raise ValueError(f"state: {name!r} is no weight of CLIP4Clip or of MMAction2's port of it")
    return f'sim_head.{new}'


def convert(state: State) -> State:
    """Weights of :class:`mmclip.CLIP4Clip`, float32.

    Args:
        state: Of an official file, or of MMAction2's ``CLIPSimilarity``; the head or CLIP alone
            will do.

    Raises:
        ValueError: an unknown weight; nothing to convert.
    """
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    clip = {k.removeprefix('clip.'): v for k, v in state.items() if k.startswith('clip.')}
    head = {k: v for k, v in state.items() if not k.startswith('clip.')}
    out = {}
    for name, value in to_open_clip(clip).items():
        if not _CLIP.fullmatch(name):
            raise ValueError(f"state: 'clip.{name}' is no weight of a CLIP with a ViT")
        name = 'patch_3d.weight' if name == 'visual.conv2.weight' else f'clip.{name}'
        out[name] = value
    reads_positions = any(name.startswith('transformerClip.') for name in head)
    for name, value in head.items():
        if name != _TABLE or reads_positions:
            out[_head_name(name)] = as_float(value)
    if not out:
        raise ValueError('state: there is nothing in it that a CLIP4Clip reads')
    return out
