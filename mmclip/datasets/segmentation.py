"""Semantic segmentation with a list of words: any folder of images and index masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names, read_class_names


@DATASETS.register_module()
class OpenVocabSegDataset(BaseSegDataset):
    """Images and masks of class indices, with the words of the classes.

    The words only name the indices: value i of a mask is the i-th word (with ``reduce_zero_label``
    the one before; 0 is then ignored). Masks have 8 or 16 bits and are read by
    ``mmclip.LoadSegMap``, which checks their values.

    Args:
        classes: A known vocabulary (``'ade20k'``), a list, or a label file, see
            :func:`mmclip.text.class_names.names_of_file`.
        background_word: Put before the list, for mask value 0; any word will do. None where the
            background has no value.
        splits: Name -> group, e.g. ``'novel'``; for ``mmclip.OpenVocabIoU``. A vocabulary's own
            name stands for what it knows: ``'mini_world'``.
        keep: Groups whose names are kept, beside the background: training on them, a model must
            not see the others as wrong answers. Pixels of the others are ignored.
        kwargs: The host's.

    Raises:
        ValueError: bad names; a split of a name that is not in the list; an ``ignore_index`` that
            is a class.
        FileNotFoundError: no label file, or no images.
    """

    METAINFO: dict = {}

    def __init__(
        self,
        *,
        classes: str | Sequence[str],
        background_word: str | None = None,
        splits: Mapping[str, str] | str | None = None,
        keep: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        names = list(read_class_names(classes))
        groups = _splits(splits, names)
        first = 0
        if background_word is not None:
            names = list(class_names([background_word, *names]))
            first = 1
        self._kept = None
        if keep is not None:
            unknown = sorted(set(keep) - set(groups.values()))
            if unknown:
                raise ValueError(
                    f'keep: {unknown} are no groups of splits; there are '
                    f'{sorted(set(groups.values()))}'
                )
            kept = [i for i, name in enumerate(names) if i < first or groups.get(name) in keep]
            self._kept = (len(names), kept)
            names = [names[i] for i in kept]
        metainfo = dict(classes=tuple(names), splits={n: groups[n] for n in names if n in groups})
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
        count = self._kept[0] if self._kept else len(self.metainfo['classes'])
        if 0 <= self.ignore_index < count:
            raise ValueError(
                f'ignore_index: {self.ignore_index} is the value of one of {count} classes; take '
                '65535 here, for the head, and as seg_pad_val of the preprocessor and the padding'
            )
        for row in rows:
            row.update(num_classes=count, ignore_index=self.ignore_index)
        return rows

    def get_data_info(self, idx: int) -> dict:
        """The host's; with ``keep`` there is a table from mask values to kept classes."""
        row = super().get_data_info(idx)
        if self._kept:
            count, kept = self._kept
            table = np.full(count, self.ignore_index, np.int64)
            table[kept] = np.arange(len(kept))
            row['label_table'] = table
        return row


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
