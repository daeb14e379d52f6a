"""Remedies for the hosts' inferencers, applied by :func:`mmclip.compat.apply`.

They rewrite the test pipeline of a config, and look for what they replace by bare names or by parts
of names, where the types of our configs carry their scopes.
"""

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

FROM_ARRAY = 'LoadImageFromNDArray'


def bare_type(transform: Mapping[str, Any]) -> str:
    """The type of a transform's config without its scope; '' for a class."""
    kind = transform['type']
    return kind.rpartition('.')[2] if isinstance(kind, str) else ''


def keep_image_loader(module: ModuleType, name: str) -> None:
    """Let an inferencer of images find the config's loader, and read files with it.

    Symptom: ``LoadImageFromFile is not found in the test pipeline``.
    Cause: mmdet 3.3 and mmseg 1.2 compare with the bare name; what they put in its place reads
    files by MMCV's loader, whichever the config names.
    Drop it when the hosts ask their registries.

    Args:
        module: Where the inferencer is.
        name: Its class.
    """

    def prepare(init: Callable, self: Any, cfg: Any) -> Any:
        from mmengine.registry import TRANSFORMS

        pipeline = cfg.test_dataloader.dataset.get('pipeline') or []
        loaders = (i for i, t in enumerate(pipeline) if bare_type(t).startswith('LoadImage'))
        place = next(loaders, None)
        if place is None or bare_type(pipeline[place]) == FROM_ARRAY:
            return init(self, cfg)
        loader = pipeline[place]
        known = {key: loader[key] for key in ('to_float32',) if key in loader}
        pipeline[place] = dict(type='LoadImageFromFile', **known)
        compose = init(self, cfg)
        for transform in compose.transforms:
            if hasattr(transform, 'from_file'):
                transform.from_file = TRANSFORMS.build(loader)
        return compose

    _wrap_pipeline(getattr(module, name), prepare)


def keep_video_reader(module: ModuleType) -> None:
    """Let MMAction2's inferencer read a video with the config's reader.

    Symptom: frames by decord, or an error, where the config begins with ``mmclip.OpenVideo``.
    Cause: mmaction2 1.2 puts ``DecordInit`` in front and ``DecordDecode`` in the place of every
    transform with 'Decode' in its name.
    Drop it when MMAction2 leaves readers alone that it does not know.
    """

    def prepare(init: Callable, self: Any, cfg: Any) -> Any:
        from mmengine.dataset import Compose

        dataset = cfg.test_dataloader.dataset
        if not dataset.get('pipeline') or bare_type(dataset.pipeline[0]) != 'OpenVideo':
            return init(self, cfg)
        if self.input_format == 'video':
            pack = dict(type='mmaction.InferencerPackInput', input_format='video', **self.pack_cfg)
            return Compose([pack, *dataset.pipeline])
        if self.input_format in ('array', 'rawframes'):
            dataset.pipeline = dataset.pipeline[1:]  # there is no file to open
        return init(self, cfg)

    _wrap_pipeline(module.ActionRecogInferencer, prepare)


def _wrap_pipeline(inferencer: type, prepare: Callable) -> None:
    init = inferencer._init_pipeline
    if hasattr(init, '__wrapped__'):
        return

    @functools.wraps(init)
    def _init_pipeline(self: Any, cfg: Any) -> Any:
        return prepare(init, self, cfg)

    inferencer._init_pipeline = _init_pipeline
