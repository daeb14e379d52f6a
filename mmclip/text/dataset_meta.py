"""The ``dataset_meta`` of checkpoints: the classes that a model was trained on."""

from typing import Any


def classes_of(dataset_meta: Any) -> tuple[str, ...]:
    """The classes that a ``metainfo``, or a list of them (a mixture of datasets), names.

    Those of a mixture are joined in the order of their first appearance. What a damaged or foreign
    file says instead of a list of names counts as nothing.
    """
    metas = dataset_meta if isinstance(dataset_meta, list | tuple) else [dataset_meta]
    names: dict[str, None] = {}
    for meta in metas:
        classes = meta.get('classes') if isinstance(meta, dict) else None
        if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
            names.update(dict.fromkeys(classes))
    return tuple(names)


def one_meta(dataset_meta: Any) -> Any:
    """What a checkpoint stores: for a mixture the joined classes and novel ones.

    MMDetection's ``ConcatDataset`` gives a list, which its ``init_detector`` cannot read.
    """
    if isinstance(dataset_meta, list | tuple):
        known = [meta for meta in dataset_meta if isinstance(meta, dict)]
        novel = [name for meta in known for name in meta.get('novel') or ()]
        joined = dict(classes=classes_of(dataset_meta))
        return joined | (dict(novel=tuple(dict.fromkeys(novel))) if novel else {})
    return dataset_meta
