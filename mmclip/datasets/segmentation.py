"""Semantic segmentation with a list of words: any folder of pictures and index masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset

from mmclip.models.common.class_names import class_names
from mmclip.registry import DATASETS


def label_list(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Names out of a label file, of a known vocabulary, or given as a list.

    Raises:
        FileNotFoundError: no such label file.
        ValueError: bad names, or a name twice.
    """
    if isinstance(classes, str) and Path(classes).suffix == '.txt':
        path = Path(classes)
        if not path.is_file():
            raise FileNotFoundError(f'classes: there is no label file {path}')
        lines = path.read_text(encoding='utf-8').splitlines()
        try:
            return class_names([line.strip() for line in lines if line.strip()])
        except ValueError as error:
            raise ValueError(f'{error} (label file {path})') from error
    return class_names(classes)


@DATASETS.register_module()
class OpenVocabSegDataset(BaseSegDataset):
    """Pictures and masks of class indices, with the words of the classes.

    The words only name the indices: value i of a mask is the i-th word (with ``reduce_zero_label``
    the one before; 0 is then ignored). Masks have 8 or 16 bits and are read by
    ``mmclip.LoadSegMap``, which checks their values.

    Args:
        classes: A known vocabulary (``'ade20k'``), a list, or a label file (``.txt``, one name per
            line).
        background_word: Replaces the first word, where that is the background; any word will do.
        splits: Name -> group, e.g. ``'novel'``; for ``mmclip.OpenVocabIoU``. A vocabulary's own
            name stands for what it knows: ``'mini_world'``.
        kwargs: The host's.

    Raises:
        ValueError: bad names; a split of a name that is not in the list.
        FileNotFoundError: no label file, or no pictures.
    """

    METAINFO: dict = {}

    def __init__(
        self,
        *,
        classes: str | Sequence[str],
        background_word: str | None = None,
        splits: Mapping[str, str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        names = list(label_list(classes))
        if background_word is not None:
            names[0] = background_word
            class_names(names)
        metainfo = dict(classes=tuple(names), splits=_splits(splits, names))
        super().__init__(metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The host's list, with what ``mmclip.LoadSegMap`` needs to know."""
        folder = self.data_prefix.get('img_path')
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(
                f'data_root: there is no folder {folder}; docs/en/datasets.md tells how the data '
                'are prepared (MiniWorld: `python tools/make_mini_world.py --out data/mini_world`)'
            )
        rows = super().load_data_list()
        if not rows:
            raise FileNotFoundError(f'data_root: no *{self.img_suffix} in {folder}')
        for row in rows:
            row.update(num_classes=len(self.metainfo['classes']), ignore_index=self.ignore_index)
        return rows


def _splits(splits: Mapping[str, str] | str | None, names: Sequence[str]) -> dict[str, str]:
    if splits is None:
        return {}
    if splits == 'mini_world':
        from mmclip.datasets.mini_world.world import World

        known = World().split_of
        return {name: known[name] for name in names if name in known}
    strangers = sorted(set(splits) - set(names))
    if strangers:
        raise ValueError(f'splits: {strangers[:5]} are not in the list of {len(names)} names')
    return dict(splits)
