"""Builds open_clip models by name and fills them from a tag, a file or a folder."""

import difflib
import hashlib
import math
import os
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import open_clip
import torch
from mmengine.logging import print_log
from open_clip.factory import HFTokenizer
from open_clip.model import _build_vision_tower
from open_clip.transformer import QuickGELU
from torch import nn

from mmclip.clip import mini_resnet  # noqa: F401  registers the mini CLIP's trunk in timm
from mmclip.clip.config import EPS, clip_config_of_hugging_face
from mmclip.clip.layouts import is_hugging_face, is_openai, to_open_clip
from mmclip.clip.options import check_clip_options, trusted_config, without_code
from mmclip.io.checkpoint import read_state_dict
from mmclip.io.parsing import parsing, read_json, whole_number

ASSETS = Path(__file__).resolve().parents[1] / 'assets'
MINI_CLIP = 'mini_clip'
MINI_CLIP_STYLES = 'mini_clip_styles'
SHIPPED = (MINI_CLIP, MINI_CLIP_STYLES)  # architecture and weights lie in the package
_WEIGHT_NAMES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')
_WEIGHT_NAMES += ('model.safetensors', 'pytorch_model.bin', 'model.pt')

_SIZES = 'no such model can be built; check its sizes'  # whole numbers that divide each other
_PREPROCESS = dict(
    interpolation=('bicubic', 'bilinear'), resize_mode=('shortest', 'longest', 'squash')
)


def clip_config(model: str | dict) -> dict:
    """open_clip's architecture of a model; reads no weights.

    Args:
        model: An open_clip name (``'ViT-B-32-quickgelu'``), ``'mini_clip'``,
            ``'mini_clip_styles'``, the path of an open_clip model json, or such a dict itself.

    Raises:
        ValueError: unknown name, close ones are listed; a json that asks for more than an
            architecture (:mod:`mmclip.clip.options`).
    """
    config = _read_config(model)
    check_clip_options(config, _source(model))
    return config


def _source(model: str | dict) -> str:
    return model if isinstance(model, str) else 'the dict'


def _read_config(model: str | dict) -> dict:
    if isinstance(model, dict):
        return deepcopy(dict(model))
    path = ASSETS / f'{model}.json' if model in SHIPPED else Path(model)
    if path.suffix == '.json':
        if not path.is_file():
            raise FileNotFoundError(f'model: there is no file {path}')
        config = read_json(path, f'model: {path}', kind=dict)
        return config.get('model_cfg', config)
    with parsing(f'model: {model}'):  # a folder's or hub model's json behind a prefix
        config = open_clip.get_model_config(model)
    if config is None:
        near = difflib.get_close_matches(model, [*open_clip.list_models(), *SHIPPED], n=4)
        raise ValueError(
            f'model: unknown CLIP {model!r}'
            + (f'; close names: {", ".join(near)}' if near else '')
            + '; `python -c "import open_clip; print(open_clip.list_models())"` lists all'
        )
    return config


def clip_embed_dim(model: str | dict) -> int:
    """D, the width of the space that a model's towers share; reads no weights."""
    return clip_config(model)['embed_dim']


def _create(config: dict, quick_gelu: bool, source: str) -> nn.Module:
    """An open_clip model with random weights, without a line in open_clip's log about it."""
    config = deepcopy(config)
    custom = config.pop('custom_text', False) or 'hf_model_name' in config['text_cfg']
    config['vision_cfg'].pop('timm_model_pretrained', None)
    if name := config['text_cfg'].get('hf_model_name'):
        config['text_cfg']['hf_model_pretrained'] = False
        # open_clip would ask at a terminal
        trusted_config(name, f'model: {source}: text_cfg.hf_model_name')
    config['quick_gelu'] = config.get('quick_gelu', False) or quick_gelu
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with parsing(f'model: {source}', _SIZES):
        return (open_clip.CoCa if 'multimodal_cfg' in config else kind)(**config)


def _tag(model: str | dict, pretrained: str | None) -> dict:
    """What open_clip knows of a tag without reading weights; empty for files and dicts."""
    if not isinstance(model, str) or pretrained is None:
        return {}
    return open_clip.get_pretrained_cfg(model, pretrained) or {}


def build_image_tower(model: str | dict, pretrained: str | None = None) -> nn.Module:
    """A CLIP's image tower alone, with random weights, without its text tower.

    Args:
        model: As :func:`clip_config`.
        pretrained: The weights that it will get; tells a tag that was trained with QuickGELU.
    """
    config = clip_config(model)
    config['vision_cfg'].pop('timm_model_pretrained', None)
    quick_gelu = config.get('quick_gelu', False) or _tag(model, pretrained).get('quick_gelu', False)
    with parsing(f'model: {_source(model)}', _SIZES):
        return _build_vision_tower(config['embed_dim'], config['vision_cfg'], quick_gelu).eval()


def load_image_tower(tower: nn.Module, model: str | dict, pretrained: str) -> None:
    """Fill a tower from :func:`build_image_tower` with the image weights of a checkpoint.

    Raises:
        ValueError: the weights were trained with QuickGELU and the tower has another activation.
    """
    source = build_clip(model, pretrained).visual
    if _has_quick_gelu(source) != _has_quick_gelu(tower):
        raise ValueError(
            f'model: the weights {pretrained} were trained with QuickGELU, {model!r} is built '
            "without; use the name with '-quickgelu' at its end (or quick_gelu=True in a dict)"
        )
    tower.load_state_dict(source.state_dict())


def _has_quick_gelu(tower: nn.Module) -> bool:
    return any(isinstance(module, QuickGELU) for module in tower.modules())


def weights_file(model: str | dict, pretrained: str) -> Path | None:
    """The local file that ``pretrained`` names, None if it is a tag of open_clip's.

    Raises:
        FileNotFoundError: neither a file, a folder with weights, nor a known tag.
    """
    if pretrained in SHIPPED:
        return ASSETS / f'{pretrained}.safetensors'
    path = Path(pretrained)
    if path.is_dir():
        found = [path / name for name in _WEIGHT_NAMES if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(
                f'pretrained: the folder {path} holds none of {", ".join(_WEIGHT_NAMES)}'
            )
        return found[0]
    if path.is_file():
        return path
    tags = open_clip.list_pretrained_tags_by_model(model) if isinstance(model, str) else []
    if pretrained in tags:
        return None
    raise FileNotFoundError(
        f'pretrained: {pretrained!r} is no file or folder'
        + (f', nor a tag of {model} ({", ".join(tags)})' if tags else f'; {model!r} has no tags')
    )


def build_clip(model: str | dict, pretrained: str | None = None) -> nn.Module:
    """An open_clip model (``CLIP``, ``CustomTextCLIP`` or ``CoCa``) in eval mode, float32.

    Args:
        model: As :func:`clip_config`.
        pretrained: None (random weights), an open_clip tag (downloaded by open_clip if it is not in
            its cache), ``'mini_clip'``, ``'mini_clip_styles'``, or a local file or folder in
            OpenAI's (TorchScript), open_clip's or Hugging Face's layout.

    Note:
        OpenAI's weights were trained with QuickGELU. From an OpenAI archive, and from a Hugging
        Face folder whose ``config.json`` says so, the activation is set accordingly whatever the
        model's name says; a plain state dict does not tell, so there the name decides: use the
        ``-quickgelu`` ones for OpenAI's weights.

    Raises:
        ValueError: unknown model; keys or shapes that do not fit.
        FileNotFoundError: no such file, folder or tag.
    """
    config = clip_config(model)
    if pretrained is None:
        return _create(config, False, _source(model)).eval()
    path = weights_file(model, pretrained)
    if path is None:
        quick_gelu = _tag(model, pretrained).get('quick_gelu', False)
        if name := config['text_cfg'].get('hf_model_name'):
            trusted_config(name, f'model: {_source(model)}: text_cfg.hf_model_name')
        return open_clip.create_model(model, pretrained, force_quick_gelu=quick_gelu).eval()
    state = read_state_dict(path)
    quick_gelu = is_openai(state) or (is_hugging_face(state) and _hf_quick_gelu(path, config))
    if quick_gelu and not config.get('quick_gelu', False):
        print_log(f'{path} was trained with QuickGELU, which is used', 'current')
    built = _create(config, quick_gelu, _source(model))
    _load(built, to_open_clip(state), path)
    return built.eval()


def _hf_quick_gelu(path: Path, model: dict) -> bool:
    """Whether the ``config.json`` beside Hugging Face weights names QuickGELU.

    Raises:
        ValueError: it has what open_clip, or the model that is to take the weights, has not.
    """
    file = path.with_name('config.json')
    if not file.is_file():
        return False
    content = read_json(file, f'pretrained: {file}', kind=dict)
    try:
        theirs = clip_config_of_hugging_face(content)
    except ValueError as error:
        raise ValueError(f'pretrained: {file}: {error}') from error
    for tower in ('vision_cfg', 'text_cfg'):
        wanted, eps = (
            (config[tower].get('norm_kwargs') or {}).get('eps', EPS) for config in (theirs, model)
        )
        if eps != wanted:
            raise ValueError(
                f'pretrained: {file} has layer_norm_eps={wanted}, the model {eps}; give it '
                f'{tower}.norm_kwargs=dict(eps={wanted})'
            )
    if model.get('quick_gelu', False) and not theirs['quick_gelu']:
        raise ValueError(f"pretrained: {file} has hidden_act='gelu', the model quick_gelu=True")
    return theirs['quick_gelu']


def _load(built: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    own = built.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if missing or unexpected or shapes:
        raise ValueError(
            f'pretrained: {path} does not fit the model: missing {missing[:4]}, left over '
            f'{unexpected[:4]}, other shapes {shapes[:4]} '
            f'({len(missing)}, {len(unexpected)} and {len(shapes)} in all)'
        )
    built.load_state_dict(state)


@lru_cache(maxsize=32)
def _file_hash(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def file_hash(path: str | os.PathLike) -> str:
    """16 hexadecimal digits over a file's bytes; read again only when the file changes."""
    path = Path(path)
    status = path.stat()
    return _file_hash(path, status.st_size, status.st_mtime_ns)


def state_hash(state: dict[str, torch.Tensor]) -> str:
    """16 hexadecimal digits over names, dtypes and bytes of tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def clip_tokenizer(model: str | dict) -> Callable[[list[str]], torch.Tensor]:
    """The tokenizer of a model: a callable from texts to (N, T) int64 token ids."""
    config = clip_config(model)['text_cfg']
    context_length = config.get('context_length', open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    where = f'model: {_source(model)}: text_cfg'
    context_length = whole_number(context_length, f'{where}.context_length', least=1)
    options = config.get('tokenizer_kwargs') or {}
    name = config.get('hf_tokenizer_name') or config.get('hf_model_name')
    if name:
        key = 'hf_tokenizer_name' if config.get('hf_tokenizer_name') else 'hf_model_name'
        with without_code(f'{where}.{key}: {name!r}'):
            return HFTokenizer(
                name,
                context_length=context_length,
                tokenizer_mode=config.get('tokenizer_mode'),
                trust_remote_code=False,
                **options,
            )
    return open_clip.SimpleTokenizer(context_length=context_length, **options)


def clip_preprocess(model: str | dict, pretrained: str | None = None) -> dict:
    """A model's image transform: ``size`` in pixels, ``mean``, ``std`` (in 0-1), ``resize_mode``.

    ``resize_mode`` is ``'shortest'`` (short side, then center crop) or ``'squash'`` (SigLIP);
    ``interpolation`` is ``'bicubic'`` or ``'bilinear'``. A folder's ``open_clip_config.json``
    counts.
    """
    size = clip_config(model)['vision_cfg'].get('image_size', 224)
    known = _tag(model, pretrained)
    path = Path(pretrained or '') / 'open_clip_config.json'
    if pretrained and path.is_file():
        known = read_json(path, f'pretrained: {path}', kind=dict).get('preprocess_cfg') or {}
        _check_preprocess(known, path)
    return dict(
        size=size,
        mean=tuple(known.get('mean') or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(known.get('std') or open_clip.OPENAI_DATASET_STD),
        interpolation=known.get('interpolation') or 'bicubic',
        resize_mode=known.get('resize_mode') or 'shortest',
    )


def _check_preprocess(known: dict, path: Path) -> None:
    """Raise where a folder's transform is not one that :func:`clip_preprocess` describes."""
    with parsing(f'pretrained: {path}: preprocess_cfg'):
        for key in ('mean', 'std'):
            value = known.get(key)
            if value and not (len(value) == 3 and math.isfinite(sum(value))):
                raise ValueError(f'{key} is {value!r:.60}, not three numbers')
        for key, words in _PREPROCESS.items():
            if known.get(key) and known[key] not in words:
                raise ValueError(f'{key} is {known[key]!r:.60}, none of {", ".join(words)}')
