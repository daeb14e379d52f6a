"""ModelNet and ScanObjectNN in their h5 files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmclip.datasets.few_shot import Subset
from mmclip.io.arrays import unpacked_limit
from mmclip.io.image import check_regular_file
from mmclip.io.mesh_file import optional_module
from mmclip.io.parsing import parsing
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names

_HELP = 'docs/en/datasets.md says where each dataset comes from'
_SCAN_FILES = {
    'obj_only': ('{fold}_nobg', '{part}_objectdataset.h5'),
    'obj_bg': ('{fold}', '{part}_objectdataset.h5'),
    'pb_t50_rs': ('{fold}', '{part}_objectdataset_augmentedrot_scale75.h5'),
}
_FOLDS = ('main_split', 'split1', 'split2', 'split3', 'split4')


def _dataset(file: Any, key: str, limit: int) -> Any:
    """A dataset that lies in the file itself and is no larger than the file can hold."""
    import h5py

    if key not in file:
        raise ValueError(f'has no dataset {key!r}, but {", ".join(file) or "none"}')
    data = file[key]
    if not isinstance(file.get(key, getlink=True), h5py.HardLink) or not isinstance(
        data, h5py.Dataset
    ):
        raise ValueError(f'{key!r} is no dataset of this file')
    if data.is_virtual or data.external:
        raise ValueError(f'{key!r} lies in other files')
    if data.dtype.kind not in 'fiu' or data.nbytes > limit:
        raise ValueError(f'{key!r} claims {data.shape} of {data.dtype}, more than it can hold')
    return data


def _open(path: Path) -> Any:
    check_regular_file(path, f'{path}')
    return optional_module('h5py', f'{path}: reading an h5 file').File(path, 'r')


def read_h5_labels(path: Path, num_classes: int) -> np.ndarray:
    """Labels of a file of clouds, stored (N, 1) or (N,): int64 (N,).

    Raises:
        FileNotFoundError: no such file.
        ImportError: h5py is missing.
        ValueError: damaged; a label out of range.
    """
    optional_module('h5py', f'{path}: reading an h5 file')
    with parsing(path, 'download it again'), _open(path) as file:
        labels = _dataset(file, 'label', unpacked_limit(path))[()]
        if labels.ndim not in (1, 2) or labels.size != len(labels) or labels.dtype.kind == 'f':
            raise ValueError(f"'label' is {labels.shape} of {labels.dtype}, not one per cloud")
        labels = labels.reshape(-1).astype(np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f'has labels {labels.min()} to {labels.max()}, there are {num_classes} classes'
            )
    return labels


def read_h5_clouds(path: Path, rows: Sequence[int], count: int) -> np.ndarray:
    """The clouds of the given rows, float32 (len(rows), P, 3).

    Args:
        path: The file.
        rows: Indices, in any order.
        count: Clouds that the file must have.

    Raises:
        FileNotFoundError, ImportError, ValueError: as :func:`read_h5_labels`.
    """
    optional_module('h5py', f'{path}: reading an h5 file')
    with parsing(path, 'download it again'), _open(path) as file:
        data = _dataset(file, 'data', unpacked_limit(path))
        if data.ndim != 3 or data.shape[2] < 3 or len(data) != count or not data.shape[1]:
            raise ValueError(f"'data' is {data.shape}, not ({count}, points, 3)")
        return data[()][list(rows), :, :3].astype(np.float32)


class _H5Clouds:
    """Clouds of several files in memory: those that are used, read once.

    Args:
        paths: The files.
        num_classes: Of the labels.
        subset: Which samples.
        label_map: Label in the files -> label; clouds of other labels are left out. None: as it is.

    Raises:
        FileNotFoundError, ImportError, ValueError: as :func:`read_h5_labels`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        num_classes: int,
        subset: Subset,
        label_map: dict[int, int] | None = None,
    ) -> None:
        of_file = [read_h5_labels(path, num_classes) for path in paths]
        places = [(f, row) for f, labels in enumerate(of_file) for row in range(len(labels))]
        labels = np.concatenate(of_file).tolist() if of_file else []
        if label_map is not None:
            kept = [i for i, label in enumerate(labels) if label in label_map]
            places, labels = [places[i] for i in kept], [label_map[labels[i]] for i in kept]
        if not labels:
            raise ValueError(f'data_root: no cloud of the classes in {", ".join(map(str, paths))}')
        chosen = subset.choose(labels)
        self.clouds: list[Any] = [None] * len(chosen)
        for number, path in enumerate(paths):
            here = [i for i, index in enumerate(chosen) if places[index][0] == number]
            rows = [places[chosen[i]][1] for i in here]
            clouds = read_h5_clouds(path, rows, len(of_file[number])) if rows else []
            for i, cloud in zip(here, clouds, strict=True):
                self.clouds[i] = cloud
        self.rows = [
            dict(
                points_path=f'{paths[places[index][0]]}#{places[index][1]}',
                gt_label=int(labels[index]),
                sample_index=i,
            )
            for i, index in enumerate(chosen)
        ]


@DATASETS.register_module()
class ModelNetH5(BaseDataset):
    """ModelNet40 as PointNet's authors sampled it: ``modelnet40_ply_hdf5_2048``.

    2048 points per cloud in the unit sphere, y up, 9840 training and 2468 test clouds. Only the
    names of the files that ``train_files.txt`` lists are used, its folders are those of another
    machine. The clouds are in memory, once for all workers where these are forked.

    Args:
        data_root: Folder of the lists, ``shape_names.txt`` and ``ply_data_*.h5``.
        split: ``'train'``, ``'val'`` (held out from the training files; of a copy that brings
            ``val_files.txt``, as MiniWorld does, all that it lists) or ``'test'``.
        version: 40, or 10 for ModelNet10's classes among the 40.
        num_shots, shots_seed, val_ratio: As :class:`mmclip.datasets.few_shot.Subset`.
        kwargs: As :class:`mmengine.dataset.BaseDataset`. The pipeline starts with ``points``.

    Raises:
        FileNotFoundError: a list or a file is missing.
        ImportError: h5py is missing.
        ValueError: a damaged file; bad arguments.
    """

    def __init__(
        self,
        *,
        data_root: str,
        split: str = 'test',
        version: int = 40,
        num_shots: int | None = None,
        shots_seed: int = 2,
        val_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if version not in (10, 40):
            raise ValueError(f'version: {version!r} is neither 10 nor 40')
        self.version = version
        own_val = split == 'val' and Path(data_root, 'val_files.txt').is_file()
        self.subset = Subset('test' if own_val else split, num_shots, shots_seed, val_ratio)
        self.source = 'val' if own_val else self.subset.source
        names = self._names_of_files(Path(data_root))
        classes = names if version == 40 else class_names('modelnet10')
        unknown = sorted(set(classes) - set(names))
        if unknown:
            raise ValueError(f'data_root: shape_names.txt of {data_root} lacks {unknown}')
        self._file_names = names
        super().__init__(metainfo=dict(classes=classes), data_root=data_root, **kwargs)

    @staticmethod
    def _names_of_files(root: Path) -> tuple[str, ...]:
        path = root / 'shape_names.txt'
        if not path.is_file():
            return class_names('modelnet40')
        with parsing(path):
            lines = path.read_text(encoding='utf-8').split('\n')
            return class_names([line.strip().replace('_', ' ') for line in lines if line.strip()])

    def load_data_list(self) -> list[dict]:
        """Rows with ``points_path`` (file#row), ``gt_label`` and ``sample_index``."""
        root = Path(self.data_root)
        list_file = root / f'{self.source}_files.txt'
        if not list_file.is_file():
            raise FileNotFoundError(f'data_root: {list_file} does not exist; {_HELP}')
        with parsing(list_file):
            lines = list_file.read_text(encoding='utf-8').split('\n')
        names = [line.strip().replace('\\', '/').rpartition('/')[2] for line in lines]
        names = [name for name in names if name]
        if not names:
            raise ValueError(f'data_root: {list_file} lists no file')
        label_map = None
        if self.version == 10:
            label_map = {
                self._file_names.index(n): i for i, n in enumerate(self._metainfo['classes'])
            }
        count = len(self._file_names)
        loaded = _H5Clouds([root / name for name in names], count, self.subset, label_map)
        self._clouds = loaded.clouds
        return loaded.rows

    def get_data_info(self, idx: int) -> dict:
        """As the base class's, with ``points``, float32 (2048, 3)."""
        info = super().get_data_info(idx)
        info['points'] = self._clouds[info['sample_index']].copy()
        return info


@DATASETS.register_module()
class ScanObjectNN(BaseDataset):
    """Objects cut out of indoor scans: 15 classes, 2048 points per cloud.

    The clouds have y up (the authors answered so), are in meters and of different sizes, neither
    centered nor in the unit sphere: ``mmclip.UnitSphereNormalize`` belongs into the pipeline
    (without it zero-shot accuracy is near chance), ``mmclip.AxisUp`` only if a copy has other axes.

    Args:
        data_root: Folder ``h5_files``.
        variant: ``'obj_only'``: the object alone; ``'obj_bg'``: with what is around it;
            ``'pb_t50_rs'``: boxes moved by up to half, rotated, scaled.
        split: ``'train'``, ``'val'`` (held out from the training file) or ``'test'``.
        fold: ``'main_split'`` or ``'split1'`` to ``'split4'``.
        num_shots, shots_seed, val_ratio: As :class:`mmclip.datasets.few_shot.Subset`.
        kwargs: As :class:`mmengine.dataset.BaseDataset`. The pipeline starts with ``points``.

    Raises:
        FileNotFoundError: the file is missing.
        ImportError: h5py is missing.
        ValueError: a damaged file; bad arguments.
    """

    def __init__(
        self,
        *,
        data_root: str,
        variant: str = 'pb_t50_rs',
        split: str = 'test',
        fold: str = 'main_split',
        num_shots: int | None = None,
        shots_seed: int = 2,
        val_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if variant not in _SCAN_FILES:
            raise ValueError(f'variant: {variant!r}; allowed are {", ".join(_SCAN_FILES)}')
        if fold not in _FOLDS:
            raise ValueError(f'fold: {fold!r}; allowed are {", ".join(_FOLDS)}')
        self.variant, self.fold = variant, fold
        self.subset = Subset(split, num_shots, shots_seed, val_ratio)
        metainfo = dict(classes=class_names('scan_object_nn'))
        super().__init__(metainfo=metainfo, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Rows with ``points_path`` (file#row), ``gt_label`` and ``sample_index``."""
        part = 'test' if self.subset.source == 'test' else 'training'
        folder, name = _SCAN_FILES[self.variant]
        path = Path(self.data_root, folder.format(fold=self.fold), name.format(part=part))
        if not os.path.isfile(path):
            raise FileNotFoundError(f'data_root: {path} does not exist; {_HELP}')
        loaded = _H5Clouds([path], len(self._metainfo['classes']), self.subset)
        self._clouds = loaded.clouds
        return loaded.rows

    def get_data_info(self, idx: int) -> dict:
        """As the base class's, with ``points``, float32 (2048, 3)."""
        info = super().get_data_info(idx)
        info['points'] = self._clouds[info['sample_index']].copy()
        return info
