"""What the json of a CLIP may ask for: sizes and kinds of layers, never code or another file.

A model json may come from a stranger. Its options end in open_clip, timm and transformers, some of
which run Python that a folder or a model of the hub brings along (``trust_remote_code``).
"""

import dataclasses
import difflib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import timm
from open_clip.coca_model import MultimodalCfg
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from mmclip.io.parsing import parsing, whole_number

_PARTS = dict(vision_cfg=CLIPVisionCfg, text_cfg=CLIPTextCfg, multimodal_cfg=MultimodalCfg)
_NUMBERS = ('embed_dim', 'quick_gelu', 'custom_text', 'init_logit_scale', 'init_logit_bias')
_NUMBERS += ('nonscalar_logit_scale', 'pad_id')
_WORDS = dict(  # options that are words, with the words that open_clip and timm know
    pool_type=('tok', 'avg', 'none', 'first', 'last', 'argmax', 'eos'),
    pos_embed_type=('learnable', 'sin_cos_2d'),
    block_type=('default', 'custom'),
    proj_type=('linear', 'none'),
    timm_pool=('', 'avg', 'max', 'avgmax', 'catavgmax', 'map', 'token', 'abs_attn', 'rot_attn'),
    timm_proj=('', 'linear', 'mlp', 'none'),
    hf_proj_type=('linear', 'mlp'),
    hf_pooler_type=('mean_pooler', 'max_pooler', 'cls_pooler', 'cls_last_hidden_state_pooler'),
    tokenizer_mode=('', 'clips'),
)
_MOST = dict(layers=1000)  # blocks take time to build, however small they are
_MOST_OF_ANY = 2**24
_NAMES = ('hf_model_name', 'hf_tokenizer_name')  # read by `trusted_config` and a tokenizer only
_KEYWORDS = dict(  # options that are keywords of a call, with the keywords that are handed on
    act_kwargs=dict(approximate=('none', 'tanh')),
    norm_kwargs=dict(eps=None),
    tokenizer_kwargs=dict(clean=('canonicalize', 'lower', 'whitespace'), strip_sep_token=None),
)


def check_clip_options(config: Any, source: object) -> None:
    """Raise unless a CLIP's architecture holds nothing but known options with harmless values.

    Args:
        config: open_clip's architecture dict.
        source: The json or the model, for the message.

    Raises:
        ValueError: an unknown option, or a value that is not allowed; it is named.
    """
    if not isinstance(config, dict):
        raise ValueError(f'model: {source} is no object with embed_dim, vision_cfg and text_cfg')
    for key in ('embed_dim', 'vision_cfg', 'text_cfg'):
        if key not in config:
            raise ValueError(f'model: {source} lacks {key}')
    for key, value in config.items():
        if key not in _PARTS:
            _check(source, key, value, (*_NUMBERS, *_PARTS))
        elif not isinstance(value, dict):
            raise ValueError(f'model: {source}: {key} is no object but {value!r:.60}')
        else:
            known = [field.name for field in dataclasses.fields(_PARTS[key])]
            for option, setting in value.items():
                _check(source, f'{key}.{option}', setting, known)


def _check(source: object, path: str, value: Any, known: Any) -> None:
    option = path.split('.', 1)[-1]
    if option not in known:
        near = difflib.get_close_matches(option, known, n=3)
        hint = f'; close ones: {", ".join(near)}' if near else ''
        raise ValueError(f'model: {source}: unknown option {path}{hint}')
    if option == 'embed_dim':
        whole_number(value, f'model: {source}: {path}', least=1)
    elif value is None:
        return
    elif option in _KEYWORDS:
        _check_keywords(source, path, value, _KEYWORDS[option])
    elif option in _WORDS:
        _check_word(source, path, value, _WORDS[option])
    elif option in _NAMES:
        if not isinstance(value, str) or not value:
            raise ValueError(f'model: {source}: {path} is {value!r:.60}, not a name')
    elif option == 'timm_model_name':
        # Not 'hf-hub:...' or 'local-dir:...', whose json would be read in turn.
        if not isinstance(value, str) or not timm.is_model(value):
            raise ValueError(
                f'model: {source}: {path} is {value!r:.60}, not one of the models that '
                'timm.list_models() lists'
            )
    elif not _is_number(value) and not (
        isinstance(value, list | tuple) and value and all(map(_is_number, value))
    ):
        raise ValueError(f'model: {source}: {path} is {value!r:.60}, not a number')
    elif np.max(value) > _MOST.get(option, _MOST_OF_ANY):
        raise ValueError(
            f'model: {source}: {path} is {value!r:.60}; at most '
            f'{_MOST.get(option, _MOST_OF_ANY)} is allowed'
        )


def _check_keywords(source: object, path: str, value: Any, allowed: dict) -> None:
    if not isinstance(value, dict):
        raise ValueError(f'model: {source}: {path} is no object but {value!r:.60}')
    for keyword, setting in value.items():
        if keyword not in allowed:
            raise ValueError(
                f'model: {source}: {path}.{keyword} is not allowed in a model json; allowed are '
                f'{", ".join(allowed)}'
            )
        words = allowed[keyword]
        if words is not None:
            _check_word(source, f'{path}.{keyword}', setting, words)
        elif not _is_number(setting):
            raise ValueError(f'model: {source}: {path}.{keyword} is {setting!r:.60}, not a number')


def _check_word(source: object, path: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(
            f'model: {source}: {path} is {value!r:.60}; allowed are {", ".join(map(repr, words))}'
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)  # bool is one


@contextmanager
def without_code(where: object) -> Iterator[None]:
    """Name the folder or hub model that transformers cannot read, or that brings its own Python."""
    with parsing(where):
        try:
            yield
        except ValueError as error:
            if 'trust_remote_code' not in str(error):
                raise
            raise ValueError('it brings Python of its own, which is never run') from error


def _implementations(node: Any) -> Iterator[tuple[str, Any]]:
    """Entries at any depth of a config that choose how a part is computed."""
    if isinstance(node, dict):
        for key, value in node.items():
            if str(key).endswith('_implementation'):
                yield key, value
            yield from _implementations(value)
    elif isinstance(node, list):
        for value in node:
            yield from _implementations(value)


def trusted_config(name: str, argument: str) -> Any:
    """The config of a transformers folder or hub model, unless it asks for code that is no library.

    Args:
        name: Folder, or name on the hub.
        argument: What named it, for the message.

    Raises:
        ValueError: it brings Python of its own, names a kernel of the hub, is no text model that
            transformers knows, or is damaged.
    """
    from transformers import (  # seconds: only for those who use it
        MODEL_MAPPING,
        AutoConfig,
        PretrainedConfig,
    )

    with without_code(f'{argument}: {name!r}'):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    # As transformers understood it, and as the file says it of any part.
    raw, _ = PretrainedConfig.get_config_dict(name)
    top = {'attn_implementation': getattr(config, '_attn_implementation', None)}
    for key, value in (*top.items(), *_implementations(raw)):
        if '/' in str(value):
            raise ValueError(
                f'{argument}: {name!r} wants code of the hub, {key}={value!r}, which is never '
                'run; delete that entry of its config.json'
            )
    if type(config) not in MODEL_MAPPING:
        raise ValueError(
            f'{argument}: {name!r} is a {config.model_type}, for which transformers has no model '
            'of its own; Python that comes with a model is never run'
        )
    return config
