"""Looks for the files that a config names before anything heavy is imported or built."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmclip.config_path import configs_root

PAGE = 'docs/en/datasets.md'
# A folder's name in a path -> how its content is obtained; `{root}` is the path up to it.
HELP = {
    'mini_world': 'python tools/make_mini_world.py --out {root}',
    'lvis_v1': f'{PAGE}#lvis-v1 says where LVIS v1 comes from and how it is laid out in {{root}}',
    'imagenet': f'{PAGE}#imagenet-1k-cifar-100 says how ImageNet is laid out in {{root}}',
    'cifar100': f'{PAGE}#imagenet-1k-cifar-100 says where CIFAR-100 comes from',
    'vocabularies': f'python tools/build_vocabulary.py, see {PAGE}#vocabularies',
}
# Keys whose value is a file wherever they stand.
FILE_KEYS = ('ann_file', 'proposal_file', 'vocabulary_file', 'examples', 'shards')
WEIGHTS = ('.pt', '.pth', '.bin', '.ckpt', '.pkl', '.safetensors', '.npz')


class Needed(NamedTuple):
    """A path that a config names: where it stands (``a.b.c``) and what stands beside it."""

    path: str
    where: str
    beside: dict


def is_local(path: str) -> bool:
    return '://' not in path and not path.startswith(('hf-hub:', 'local-dir:'))


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    values = value if isinstance(value, list | tuple) else [value]
    return [v for v in values if isinstance(v, str)]


def _expanded(path: str) -> list[str]:
    """Shards are written with braces: ``{00000..00007}``."""
    if '{' not in path:
        return [path]
    from braceexpand import braceexpand

    return list(braceexpand(path))


def _walk(node: Any, where: str) -> Iterator[Needed]:
    if isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _walk(item, f'{where}.{index}')
    if not isinstance(node, dict):
        return
    remote = (node.get('backend_args') or {}).get('backend', 'local') != 'local'
    root = node.get('data_root') or ''
    if isinstance(root, str) and is_local(root) and not remote:
        for key in FILE_KEYS:
            for value in _strings(node.get(key)) if key in node else ():
                looks_like = key != 'examples' or value.endswith('.json')
                # Which file that is, the names of the dataset say.
                looks_like &= '{vocabulary}' not in value
                if value and is_local(value) and looks_like:
                    for path in _expanded(str(Path(root, value))):
                        yield Needed(path, f'{where}.{key}', node)
        for value in _strings(node.get('data_prefix')):
            if (root or value) and is_local(value):
                yield Needed(str(Path(root, value)), f'{where}.data_prefix', node)
        if root:
            yield Needed(root, f'{where}.data_root', node)
    for key in ('checkpoint', 'pretrained'):
        value = node.get(key)
        weights = key == 'checkpoint' and str(node.get('type', '')).endswith('Pretrained')
        if isinstance(value, str) and is_local(value) and (weights or value.endswith(WEIGHTS)):
            yield Needed(value, f'{where}.{key}', node)
    for key, value in node.items():
        yield from _walk(value, f'{where}.{key}')


def needed_files(cfg: dict, *, train: bool) -> Iterator[Needed]:
    """The local files and folders that a run reads, in the order in which they are reported.

    Args:
        cfg: The config.
        train: Those of training and validation, else those of testing, for which a model's weights
            and words come from its checkpoint.
    """
    loops = ['val', 'test']
    loops = ['train', *loops[: cfg.get('val_cfg') is not None]] if train else loops[1:]
    parts = [f'{loop}_{part}' for loop in loops for part in ('dataloader', 'evaluator')]
    parts += ['custom_hooks', *(['model'] if train else [])]
    for part in parts:
        yield from _walk(cfg.get(part), part)
    start = cfg.get('load_from')
    if isinstance(start, str) and is_local(start):
        yield Needed(start, 'load_from', {})


def _section(path: Path) -> str | None:
    """Anchor of the first section of the page that speaks of the path's folder below ``data``."""
    page = configs_root().resolve().parent / PAGE  # only in a checkout
    parts = path.parts
    if 'data' not in parts[:-1] or not page.is_file():
        return None
    folder = re.compile(rf'data/{re.escape(parts[parts.index("data") + 1])}\b')
    anchor = None
    for line in page.read_text(encoding='utf-8').splitlines():
        if line.startswith('##'):  # one # may be a comment in a block of code
            title = line.lstrip('#').strip().lower()
            anchor = ''.join(c for c in title.replace(' ', '-') if c.isalnum() or c in '-_')
        elif folder.search(line):
            return anchor
    return None


def _help(needed: Needed, table: dict[str, str]) -> str:
    path = Path(needed.path)
    for prefix, text in table.items():
        if path == Path(prefix) or Path(prefix) in path.parents:
            return text
    if needed.where.endswith('vocabulary_file'):
        encoder = needed.beside.get('text_encoder') or {}
        names = needed.beside.get('classes')
        names = names if isinstance(names, str) else '…'
        return (
            f'python tools/build_vocabulary.py --vocabulary {names} '
            f'--model {encoder.get("model", "…")} --pretrained {encoder.get("pretrained", "…")} '
            f'--out {path}'
        )
    for folder in (path, *path.parents):
        if folder.name in HELP:
            return HELP[folder.name].format(root=folder)
    if 'work_dirs' in path.parts:
        name = f'{path.parent.name}.py'
        configs = [found.relative_to(configs_root()) for found in configs_root().rglob(name)]
        if len(configs) == 1:
            return f'python tools/train.py {configs[0].as_posix()}'
    section = _section(path)
    if section:
        return f'{PAGE}#{section} says where it comes from and how it is laid out'
    if needed.where == 'load_from':
        return 'give a checkpoint that exists'
    return f'see {PAGE}, or set {needed.where} by --cfg-options'


def check(cfg: dict, *, train: bool) -> None:
    """Raise if a file that the run reads is missing.

    A config says how its own data are obtained by ``data_help = {path prefix: text}``.

    Args: as :func:`needed_files`.

    Raises:
        FileNotFoundError: naming the first missing file and, in the last line, what brings it.
    """
    for needed in needed_files(cfg, train=train):
        if not Path(needed.path).expanduser().exists():
            raise FileNotFoundError(
                f'{needed.path} does not exist ({needed.where} of the config)\n'
                f'how to get it: {_help(needed, dict(cfg.get("data_help") or {}))}'
            )
