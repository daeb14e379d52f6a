"""Official ActionCLIP checkpoints, and those of MMAction2's port, to the names of our modules.

    official model_state_dict           ours
    visual.time_embedding               video.pre_prompt.time_embedding
    visual.[...resblocks.N.net.]*       video.visual.*  (TSM's ``.net`` is gone)
    logit_scale                         logit_scale
    everything else                     text.tower.*
    official fusion_model_state_dict
    frame_position_embeddings.weight    video.post_prompt.position_embedding.weight (Transf only)
    transformer.resblocks.N.*           video.post_prompt.blocks.N.*
    transformer.transformer_enc.*       video.post_prompt.encoder.*
    transformer.{cls_token,pos_embed}   video.post_prompt.*
    lstm_visual.*                       video.post_prompt.lstm.*
    shift.weight                        video.post_prompt.conv.weight
    MMAction2's port
    clip.*, adapter.*                   as the two above

Every weight is used but the position table of the heads that never read it.
"""

import os
import re
from collections.abc import Mapping

import torch

from mmclip.clip.layouts import to_open_clip
from mmclip.io.checkpoint import read_checkpoint, read_state_dict
from mmclip.io.rename import as_float, rename

State = dict[str, torch.Tensor]
_HEAD = 'video.post_prompt.'
_FUSION = re.compile(r'(?:fusion\.)?(?:module\.)?')
_FUSION_RULES = (
    (r'transformer\.resblocks\.(.*)', r'blocks.\1'),
    (r'transformer\.transformer_enc\.(.*)', r'encoder.\1'),
    (r'transformer\.(cls_token|pos_embed)', r'\1'),
    (r'lstm_visual\.(.*)', r'lstm.\1'),
    (r'shift\.weight', 'conv.weight'),
)
_POSITION = 'frame_position_embeddings.weight'
_TEXT = re.compile(
    r'token_embedding\.weight|positional_embedding|text_projection|ln_final\.(weight|bias)'
    r'|transformer\.resblocks\.\d+\.(attn|ln_1|ln_2|mlp)\..*'
)


def read(path: str | os.PathLike) -> State:
    """The weights of a checkpoint; of an official one both parts, the head's as ``fusion.*``.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.checkpoint.read_checkpoint`.
    """
    content = read_checkpoint(path)
    if not isinstance(content, Mapping) or 'model_state_dict' not in content:
        return read_state_dict(path)
    state = {}
    for part, prefix in (('model_state_dict', ''), ('fusion_model_state_dict', 'fusion.')):
        for name, value in (content.get(part) or {}).items():
            if isinstance(value, torch.Tensor):
                state[prefix + name.removeprefix('module.')] = value
    return state


def _split(state: State) -> tuple[State, State]:
    """Weights of CLIP and of the head under their official names, without prefixes."""
    clip, head = {}, {}
    is_port = any(name.startswith('clip.') for name in state)
    for name, value in state.items():
        if name.startswith(('fusion.', 'module.', 'adapter.')):
            head[_FUSION.sub('', name.removeprefix('adapter.'), count=1)] = value
        elif is_port and not name.startswith('clip.'):
            # The port's data preprocessor keeps its mean and std out of the checkpoint.
            raise ValueError(f'state: {name!r} is neither clip.* nor adapter.*')
        else:
            clip[name.removeprefix('clip.')] = value
    return clip, head


def _clip_name(name: str) -> str:
    name = re.sub(r'^(visual\.transformer\.resblocks\.\d+)\.net\.', r'\1.', name)
    if name == 'visual.time_embedding':
        return 'video.pre_prompt.time_embedding'
    if name == 'logit_scale':
        return name
    if name.startswith('visual.'):
        return f'video.{name}'
    if _TEXT.fullmatch(name):
        return f'text.tower.{name}'
    raise ValueError(f'state: {name!r} is no weight of a CLIP with visual prompts')


def _head_name(name: str) -> str:
    new = rename(name, _FUSION_RULES)
    if new is None:
        raise ValueError(
            f'state: {name!r} is no weight of an ActionCLIP head (Transf, LSTM, Conv_1D, '
            'Transf_cls)'
        )
    return _HEAD + new


def convert(state: State) -> State:
    """Weights of :class:`mmclip.ActionCLIPRecognizer`, float32.

    Args:
        state: From :func:`read`; or CLIP's weights alone (without prefix), the head's alone
            (``module.*`` or ``fusion.*``), both, or MMAction2's (``clip.*``, ``adapter.*``).

    Raises:
        ValueError: an unknown weight; nothing to convert.
    """
    if not state:
        raise ValueError('state: it is empty')
    clip, head = _split(state)
    out = {_clip_name(name): value for name, value in to_open_clip(clip).items()} if clip else {}
    reads_positions = any(name.startswith('transformer.resblocks.') for name in head)
    for name, value in head.items():
        if name == _POSITION:
            if reads_positions:
                out[f'{_HEAD}position_embedding.weight'] = value.float()
        else:
            out[_head_name(name)] = as_float(value)
    if not out:
        raise ValueError(
            'state: only the position table of a head that does not read it (Conv_1D, LSTM ...)'
        )
    return out
