"""Official LSeg checkpoints (PyTorch-Lightning) to the names of our modules.

    net.pretrained.model.*                          backbone.vit.* (without norm and head)
    net.pretrained.layerL.*                         backbone.{conv1,bn1,layer1..4}.*
    net.pretrained.act_postprocessK.{0.project.0,3,4}
                            decode_head.reassemble.{readouts.K-1.project,projects.K-1,resizes.K-1}
    net.scratch.layerK_rn                           decode_head.decoder.convs.K-1
    net.scratch.refinenetK.{resConfUnitJ,out_conv}  ...fusion_blocks.K-1.{unitJ,project}
    net.scratch.head1                               decode_head.conv_seg.projection
    net.scratch.head_block.depthwise.depthwise      decode_head.head_block.conv
    net.clip_pretrained.*                           given apart, by :func:`clip_of`

The frozen CLIP is OpenAI's own; :func:`clip_of` takes it out, so that the words can be encoded
without a download.
"""

import json
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mmclip.clip.config import clip_config_of
from mmclip.clip.layouts import to_open_clip
from mmclip.clip.loading import build_clip, clip_tokenizer
from mmclip.io.rename import as_float, rename
from mmclip.text.class_names import class_names

State = dict[str, torch.Tensor]
_CLIP = 'clip_pretrained.'
_FUSION = 'decode_head.decoder.fusion_blocks.'


def _level(match: re.Match, rest: str) -> str:
    return f'{int(match[1]) - 1}.{rest}'


_RULES = (
    (r'pretrained\.model\.(?:norm|head|head_dist)\..*', ''),  # never used
    (r'pretrained\.model\.(.*)', r'backbone.vit.\1'),
    (r'pretrained\.layer1\.0\.(.*)', r'backbone.conv1.\1'),
    (r'pretrained\.layer1\.1\.(.*)', r'backbone.bn1.\1'),
    (r'pretrained\.layer1\.4\.(.*)', r'backbone.layer1.\1'),
    (r'pretrained\.layer([234])\.(.*)', r'backbone.layer\1.\2'),
    (
        r'pretrained\.act_postprocess(\d)\.0\.project\.0\.(.*)',
        lambda m: f'decode_head.reassemble.readouts.{_level(m, "project")}.{m[2]}',
    ),
    (
        r'pretrained\.act_postprocess(\d)\.3\.(.*)',
        lambda m: f'decode_head.reassemble.projects.{_level(m, m[2])}',
    ),
    (
        r'pretrained\.act_postprocess(\d)\.4\.(.*)',
        lambda m: f'decode_head.reassemble.resizes.{_level(m, m[2])}',
    ),
    (r'scratch\.layer(\d)_rn\.(.*)', lambda m: f'decode_head.decoder.convs.{_level(m, m[2])}'),
    (r'scratch\.refinenet4\.resConfUnit1\..*', ''),  # never used
    (
        r'scratch\.refinenet(\d)\.resConfUnit(\d)\.(.*)',
        lambda m: _FUSION + _level(m, f'unit{m[2]}.{m[3]}'),
    ),
    (r'scratch\.refinenet(\d)\.out_conv\.(.*)', lambda m: _FUSION + _level(m, f'project.{m[2]}')),
    (r'scratch\.head1\.(.*)', r'decode_head.conv_seg.projection.\1'),
    (
        r'scratch\.head_block\.depthwise\.depthwise\.(.*)',
        r'decode_head.head_block.conv.\1',
    ),
)


def _official(state: State) -> State:
    """Without Lightning's prefix."""
    return {name.removeprefix('net.'): value for name, value in state.items()}


def new_name(name: str) -> str | None:
    """Our name of an official weight; None if nothing reads it.

    Raises:
        ValueError: no weight of LSeg's is called so.
    """
    new = rename(name.removeprefix('net.'), _RULES)
    if new is None:
        raise ValueError(
            f'state: {name!r} is no weight of an official LSeg checkpoint (net.pretrained.*, '
            'net.scratch.*, net.clip_pretrained.*)'
        )
    return new or None


def clip_of(state: State) -> State:
    """The frozen CLIP of an official checkpoint in open_clip's layout, float32.

    Saved by :func:`mmclip.io.checkpoint.write_state_dict`, it is a text encoder's ``pretrained``.
    """
    return to_open_clip(
        {
            name.removeprefix(_CLIP): value
            for name, value in _official(state).items()
            if name.startswith(_CLIP)
        }
    )


@torch.no_grad()
def text_buffers(state: State, names: str | Sequence[str]) -> State:
    """Embeddings and names of a vocabulary, encoded by the checkpoint's own CLIP.

    Args:
        state: Official weights with their CLIP.
        names: Label words; no template goes around them, as in the official code.
    """
    names = class_names(names)
    weights = clip_of(state)
    config = clip_config_of(weights)
    clip = build_clip(config)
    clip.load_state_dict(weights)
    features = clip.encode_text(clip_tokenizer(config)(list(names)))
    data = bytearray(json.dumps(list(names)).encode())
    return {
        'decode_head.conv_seg.classifier.embeddings': F.normalize(features.float(), dim=1),
        'decode_head.conv_seg.classifier.names': torch.frombuffer(data, dtype=torch.uint8).clone(),
    }


def convert(state: State, *, names: str | Sequence[str] | None = None) -> State:
    """Weights of :class:`mmclip.OpenVocabSegmentor` from an official state dict.

    Every weight is used but those that nothing reads and the CLIP (:func:`clip_of`).

    Args:
        state: As :func:`mmclip.io.checkpoint.read_state_dict` reads a ``.ckpt``; Lightning's
            ``net.`` may be missing.
        names: Label words to encode by the checkpoint's own text tower, e.g.
            ``'ade20k_official'``; then the result needs no CLIP for these words.

    Raises:
        ValueError: an unknown weight, or not an LSeg checkpoint.
    """
    official = _official(state)
    if 'scratch.head1.weight' not in official:
        raise ValueError('state: no LSeg checkpoint, net.scratch.head1.weight is missing')
    out = {}
    for name, value in official.items():
        ours = None if name.startswith(_CLIP) else new_name(name)
        if ours is not None:
            out[ours] = as_float(value)
    if names is not None:
        out |= text_buffers(state, names)
    return out
