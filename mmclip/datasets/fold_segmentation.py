"""PASCAL-5i, COCO-20i, FSS-1000 and MiniWorld's folds: where is this class in this image?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from mmclip.datasets.fold_benchmarks import Entry, fold_classes
from mmclip.datasets.fold_benchmarks import benchmark as known_benchmark
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names

SEED = 0  # of the official random draws


@DATASETS.register_module()
class FoldSegDataset(BaseSegDataset):
    """One class per image: its pixels are 1, everything else 0.

    The words are the background's and those of all classes of the benchmark, so that a model keeps
    its list from training to testing; each sample carries ``class_id``, counted from 0 without the
    background. Training asks for the classes of the other folds, testing for the fold's own.

    Source: LSeg's folds, that is HSNet's loaders. In training an unlabeled boundary counts as
    background, in testing it is ignored. Official training batches hold two images of each class
    drawn; here every sample is drawn alone. PASCAL-5i tests the fold's list repeated up to 1000
    questions, so that some count more; COCO-20i 1000 random draws of a class and one of its
    images, by the official generator and seed.

    Args:
        benchmark: ``'pascal5i'``, ``'coco20i'``, ``'fss1000'`` or ``'mini_world'``.
        fold: 0 to 3; None for FSS-1000.
        part: ``'train'``, ``'val'`` (FSS-1000, MiniWorld) or ``'test'``.
        words: ``'official'`` ('pottedplant'), ``'corrected'`` ('potted plant') or a list.
        background_word: Any word; the official one is 'others'.
        lists: Folder of the lists of images, below ``data_root``.
        balanced: Whether training draws a class first, then one of its images, as the official
            COCO-20i loader does; by default where the test draws so.
        data_root: Folder of the benchmark.
        kwargs: The host's.

    Raises:
        ValueError: unknown benchmark, fold, part or words; ``balanced`` where nothing is trained.
        FileNotFoundError: images or lists are missing.
    """

    METAINFO: dict = {}

    def __init__(
        self,
        *,
        benchmark: str,
        part: str,
        fold: int | None = None,
        words: str | Sequence[str] = 'official',
        background_word: str = 'others',
        lists: str = 'splits',
        balanced: bool | None = None,
        data_root: str,
        **kwargs: Any,
    ) -> None:
        if balanced is not None and part != 'train':
            raise ValueError(f'balanced: {balanced} with part={part!r}; it is about training')
        self.benchmark = known_benchmark(benchmark)
        self.class_ids = fold_classes(benchmark, fold, part)
        self.fold, self.part, self.lists = fold, part, lists
        self.balanced = self.benchmark.draws == 'random' if balanced is None else balanced
        names = self._words(words)
        metainfo = dict(
            classes=class_names([background_word, *names]), fold_class_ids=tuple(self.class_ids)
        )
        kwargs.setdefault('test_mode', part != 'train')
        super().__init__(metainfo=metainfo, data_root=data_root, **kwargs)
        self._by_class: dict[int, list[int]] = {}
        if self.balanced and part == 'train':
            for index in range(len(self)):
                class_id = self.get_data_info(index)['class_id']
                self._by_class.setdefault(class_id, []).append(index)

    def _words(self, words: str | Sequence[str]) -> tuple[str, ...]:
        known = dict(official=self.benchmark.classes, corrected=self.benchmark.corrected)
        if isinstance(words, str) and words not in known:
            raise ValueError(f'words: {words!r} is none of {", ".join(known)}, nor a list')
        names = class_names(known[words] if isinstance(words, str) else words)
        if len(names) != self.benchmark.num_classes:
            raise ValueError(f'words: {len(names)} words for {self.benchmark.num_classes} classes')
        return names

    def load_data_list(self) -> list[dict]:
        """One row per question, in the official order."""
        root = Path(self.data_root)
        entries = self.benchmark.entries(root, root / self.lists, self.fold, self.part)
        wanted = set(self.class_ids)
        strangers = {entry.class_id for entry in entries} - wanted
        if strangers:
            raise ValueError(
                f'lists: {root / self.lists} asks for the classes {sorted(strangers)[:5]}, which '
                f'are not in part {self.part!r} of fold {self.fold}'
            )
        if not entries:
            raise FileNotFoundError(f'data_root: no images for {self.part!r} in {root}')
        self._check_count(len(entries))
        if self.part != 'train':
            entries = self._episodes(entries)
        return [self._row(entry) for entry in entries]

    def _check_count(self, count: int) -> None:
        if self.benchmark.counts:
            known = self.benchmark.counts[self.fold][self.part != 'train']
            if known != count:
                print_log(
                    f'the lists of fold {self.fold} hold {count} questions for {self.part!r}, the '
                    f'official ones {known}: figures are not comparable',
                    'current',
                    level=30,
                )

    def _episodes(self, entries: list[Entry]) -> list[Entry]:
        count = self.benchmark.episodes
        if count is None:
            return entries
        if self.benchmark.draws == 'cycle':
            return [entries[index % len(entries)] for index in range(count)]
        by_class: dict[int, list[Entry]] = {}
        for entry in entries:
            by_class.setdefault(entry.class_id, []).append(entry)
        missing = sorted(set(self.class_ids) - set(by_class))
        if missing:
            raise ValueError(
                f'lists: no image shows the classes {missing[:10]} of fold {self.fold}'
            )
        generator = np.random.RandomState(SEED)  # the official code's global generator
        drawn = []
        for _ in range(count):
            class_id = int(generator.choice(self.class_ids, 1, replace=False)[0])
            # Drawn from names, as there: the generator's state must go the same way.
            index = generator.choice(len(by_class[class_id]), 1, replace=False)[0]
            drawn.append(by_class[class_id][int(index)])
        return drawn

    def _row(self, entry: Entry) -> dict:
        row = dict(
            img_path=entry.image,
            seg_map_path=entry.mask,
            class_id=entry.class_id,
            class_value=entry.class_id + 1,
            void=self.benchmark.void,
            void_as_background=self.part == 'train',
            ignore_index=self.ignore_index,
            reduce_zero_label=False,
            label_map=None,
            seg_fields=[],
        )
        if self.benchmark.threshold is not None:
            row['threshold'] = self.benchmark.threshold
        return row

    def prepare_data(self, idx: int) -> dict | None:
        """The host's; with ``balanced`` training the index only counts, the class is drawn."""
        if self._by_class:
            class_ids = sorted(self._by_class)
            rows = self._by_class[class_ids[np.random.randint(len(class_ids))]]
            idx = rows[np.random.randint(len(rows))]
        return super().prepare_data(idx)
