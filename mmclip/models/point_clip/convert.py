"""Official PointCLIP checkpoints -> our names."""

import torch

from mmclip.clip.layouts import to_open_clip

_ADAPTER = {
    'fusion_ratio': 'fusion_ratio',
    'global_f.0.bn.': 'norm_in.',
    'global_f.3.': 'global_fc.',
    'global_f.4.': 'global_norm.',
    'view_f.0.': 'view_fc1.',
    'view_f.2.': 'view_fc2.',
}
_NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
_LINEAR = ('weight', 'bias')
_EXPECTED = ('fusion_ratio',) + tuple(
    f'{part}{end}'
    for part, ends in (
        ('global_f.0.bn.', _NORM),
        ('global_f.3.', _LINEAR),
        ('global_f.4.', _NORM),
        ('view_f.0.', _LINEAR),
        ('view_f.2.', _LINEAR),
    )
    for end in ends
)
_CLIP, _ALIAS = 'textual_encoder.clip_model.', 'visual_encoder.'


def _split(state: dict[str, torch.Tensor]) -> tuple[dict, dict, list[str]]:
    """The adapter's tensors, CLIP's in OpenAI's names, and what is neither."""
    adapter, clip, left = {}, {}, []
    for name, value in state.items():
        name = name.removeprefix('module.')
        short = name.removeprefix('adapter.')
        if short in _EXPECTED:
            adapter[short] = value
        elif name.startswith(_CLIP):
            clip[name.removeprefix(_CLIP)] = value
        elif name.startswith(_ALIAS):
            clip.setdefault('visual.' + name.removeprefix(_ALIAS), value)
        elif name != 'logit_scale':  # CLIP's own again
            left.append(name)
    return adapter, clip, left


def adapter_name(name: str) -> str:
    """Our name of a weight or buffer of the official adapter, e.g. ``global_f.3.weight``.

    Raises:
        ValueError: the official adapter has none of this name.
    """
    if name not in _EXPECTED:
        raise ValueError(f'name: the official adapter has no {name!r}')
    old = next(old for old in _ADAPTER if name.startswith(old))
    return _ADAPTER[old] + name.removeprefix(old)


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The adapter, and of a full model CLIP's image tower, for a :class:`PointCLIPClassifier`.

    Official training writes the adapter alone (``fusion_ratio``, ``global_f...``, ``view_f...``) in
    half precision, and loads it with ``strict=False``; here every key must be there. A full model
    (``adapter...``, ``textual_encoder.clip_model...`` and its alias ``visual_encoder...``) gives
    its image tower too; its text tower is no weight of ours: :func:`convert_clip` gives the whole
    CLIP, for ``text_encoder.pretrained``.

    Args:
        state: Tensors by name, as :func:`mmclip.io.checkpoint.read_state_dict` gives them.

    Shapes:
        float32, under ``adapter.`` and ``backbone.visual.``.

    Raises:
        ValueError: a key of the adapter is missing, one is unknown, or shapes do not fit each
            other; all are listed.
    """
    adapter, clip, left = _split(state)
    missing = [name for name in _EXPECTED if name not in adapter]
    if missing or left:
        raise ValueError(
            f"state: {len(missing)} keys of PointCLIP's adapter are missing "
            f'({", ".join(missing[:5])}), {len(left)} are left over ({", ".join(sorted(left)[:5])})'
        )
    _check_shapes(adapter)
    converted = {}
    for name, value in adapter.items():
        value = value.float() if value.is_floating_point() else value
        converted[f'adapter.{adapter_name(name)}'] = value
    if clip:
        tower = {k: v for k, v in convert_clip(state).items() if k.startswith('visual.')}
        converted.update({f'backbone.{name}': value for name, value in tower.items()})
    return converted


def _check_shapes(adapter: dict[str, torch.Tensor]) -> None:
    views, width = len(adapter['fusion_ratio']), len(adapter['global_f.3.bias'])
    weights = {
        'global_f.3.weight': (width, views * width),
        'view_f.0.weight': (width, width),
        'view_f.2.weight': (views * width, width),
        'view_f.2.bias': (views * width,),
    }
    for name, value in adapter.items():
        wanted = () if name.endswith('tracked') else weights.get(name, (width,))
        wanted = (views,) if name == 'fusion_ratio' else wanted
        if tuple(value.shape) != wanted:
            raise ValueError(
                f'state: {name} has the shape {tuple(value.shape)}; an adapter of {views} views '
                f'and {width} channels has {wanted}'
            )


def convert_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The whole CLIP of a full official model, in open_clip's names, float32.

    Raises:
        ValueError: the state holds no CLIP.
    """
    _, clip, _ = _split(state)
    if not clip:
        raise ValueError(f'state: no key starts with {_CLIP!r} or {_ALIAS!r}; it holds no CLIP')
    return to_open_clip(clip)
