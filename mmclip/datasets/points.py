"""Point clouds in files of their own: ModelNet's folders, and own data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmclip.datasets.classification import ClassificationList, read_class_names
from mmclip.datasets.few_shot import Subset
from mmclip.io.parsing import DamagedFile, parsing
from mmclip.io.point_file import POINT_SUFFIXES
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names

_HELP = 'docs/en/datasets.md says where each dataset comes from'


def _rows(paths: Sequence[Path], labels: Sequence[int], subset: Subset) -> list[dict]:
    """Rows of the chosen files: ``points_path``, ``gt_label`` and ``sample_index``."""
    return [
        dict(points_path=str(paths[index]), gt_label=labels[index], sample_index=number)
        for number, index in enumerate(subset.choose(labels))
    ]


@DATASETS.register_module()
class ModelNetFolder(BaseDataset):
    """ModelNet10 or 40 as meshes or as text files of points.

    ``layout='off'``: Princeton's ``ModelNet40.zip``, ``class/{train,test}/*.off``, meshes with z
    up in units of their own: ``mmclip.AxisUp`` and ``mmclip.UnitSphereNormalize`` belong into the
    pipeline. ``layout='txt'``: ``modelnet40_normal_resampled``, 10 000 points ``x,y,z,nx,ny,nz``
    per file with y up, which their own code normalizes again; the lists
    ``modelnet40_{train,test}.txt`` say which.

    Args:
        data_root: Folder of the class folders.
        version: 10 or 40.
        layout: ``'off'`` or ``'txt'``.
        split: ``'train'``, ``'val'`` (held out from training) or ``'test'``.
        num_shots, shots_seed, val_ratio: As :class:`mmclip.datasets.few_shot.Subset`.
        kwargs: As :class:`mmengine.dataset.BaseDataset`. The pipeline starts with
            ``mmclip.LoadPoints``.

    Raises:
        FileNotFoundError: a folder or list is missing.
        ValueError: bad arguments; a bad line of a list; no file.
    """

    def __init__(
        self,
        *,
        data_root: str,
        version: int = 40,
        layout: str = 'off',
        split: str = 'test',
        num_shots: int | None = None,
        shots_seed: int = 2,
        val_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if version not in (10, 40):
            raise ValueError(f'version: {version!r} is neither 10 nor 40')
        if layout not in ('off', 'txt'):
            raise ValueError(f"layout: {layout!r}; allowed are 'off' and 'txt'")
        self.version, self.layout = version, layout
        self.subset = Subset(split, num_shots, shots_seed, val_ratio)
        metainfo = dict(classes=class_names(f'modelnet{version}'))
        super().__init__(metainfo=metainfo, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Rows with ``points_path``, ``gt_label`` and ``sample_index``."""
        folders = [name.replace(' ', '_') for name in self._metainfo['classes']]
        found = self._listed(folders) if self.layout == 'txt' else self._in_folders(folders)
        if not found:
            raise ValueError(f'data_root: no file of the classes in {self.data_root}')
        paths, labels = zip(*found, strict=True)
        return _rows(paths, labels, self.subset)

    def _in_folders(self, folders: Sequence[str]) -> list[tuple[Path, int]]:
        found = []
        for label, name in enumerate(folders):
            folder = Path(self.data_root, name, self.subset.source)
            if not folder.is_dir():
                raise FileNotFoundError(f'data_root: the folder {folder} does not exist; {_HELP}')
            found += [(path, label) for path in sorted(folder.glob('*.off'))]
        return found

    def _listed(self, folders: Sequence[str]) -> list[tuple[Path, int]]:
        path = Path(self.data_root, f'modelnet{self.version}_{self.subset.source}.txt')
        if not path.is_file():
            raise FileNotFoundError(f'data_root: {path} does not exist; {_HELP}')
        with parsing(path):
            lines = path.read_text(encoding='utf-8').split('\n')
        label_of = {name: label for label, name in enumerate(folders)}
        found = []
        for number, line in enumerate(lines, start=1):
            stem = line.strip()
            name = stem.rpartition('_')[0]
            if stem and name not in label_of:
                raise DamagedFile(f'{path} line {number}: {stem!r} is of none of the classes')
            if stem:
                found.append((Path(self.data_root, name, f'{stem}.txt'), label_of[name]))
        return found


@DATASETS.register_module()
class PointCloudList(BaseDataset):
    """Own point clouds: named in a list, or in one folder per class.

    Args:
        data_root: Folder of the list or of the class folders.
        ann_file: A csv file with the head ``file,name`` and perhaps ``split``, or a text file with
            a path and a class number per line, relative to ``data_root``. Empty: labels follow the
            sorted names of the folders in ``data_root``, ``_`` read as a space.
        classes: Names in the order of the labels, see
            :func:`mmclip.datasets.classification.read_class_names`; may be left out but with a text
            file.
        splits: Only rows of these splits of a csv file; all if None.
        data_prefix: ``points_path``: folder of the clouds below ``data_root``.
        split: ``'test'``: all; ``'train'`` and ``'val'``: the two parts that ``num_shots`` and
            ``val_ratio`` make of them.
        num_shots, shots_seed, val_ratio: As :class:`mmclip.datasets.few_shot.Subset`.
        kwargs: As :class:`mmengine.dataset.BaseDataset`. The pipeline starts with
            ``mmclip.LoadPoints``, which reads the types of
            :data:`mmclip.io.point_file.POINT_SUFFIXES`.

    Raises:
        FileNotFoundError: no such list or folder.
        ValueError: a bad row; no cloud.
    """

    def __init__(
        self,
        *,
        data_root: str = '',
        ann_file: str = '',
        classes: str | Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        data_prefix: dict[str, str] | None = None,
        split: str = 'test',
        num_shots: int | None = None,
        shots_seed: int = 2,
        val_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.subset = Subset(split, num_shots, shots_seed, val_ratio)
        self.splits = splits
        names = None if classes is None else read_class_names(classes, data_root)
        super().__init__(
            ann_file=ann_file,
            metainfo=None if names is None else dict(classes=names),
            data_root=data_root,
            data_prefix=data_prefix or dict(points_path=''),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Rows with ``points_path``, ``gt_label`` and ``sample_index``."""
        paths, labels = self._listed() if self.ann_file else self._in_folders()
        return _rows(paths, labels, self.subset)

    def _listed(self) -> tuple[list[Path], list[int]]:
        table = ClassificationList(
            ann_file=self.ann_file,
            classes=self._metainfo.get('classes'),
            splits=self.splits,
            lazy_init=True,
            serialize_data=False,
        )
        rows = table.load_data_list()
        self._metainfo['classes'] = table.metainfo['classes']
        folder = self.data_prefix['points_path']
        return [Path(folder, row['img_path']) for row in rows], [row['gt_label'] for row in rows]

    def _in_folders(self) -> tuple[list[Path], list[int]]:
        root = Path(self.data_prefix['points_path'])  # below data_root
        if not root.is_dir():
            raise FileNotFoundError(f'data_root: the folder {root} does not exist; {_HELP}')
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        if 'classes' not in self._metainfo:
            own = [path.name.replace('_', ' ') for path in folders]
            self._metainfo['classes'] = class_names(own)
        if len(folders) != len(self._metainfo['classes']):
            raise ValueError(
                f'data_root: {root} holds {len(folders)} folders, there are '
                f'{len(self._metainfo["classes"])} classes'
            )
        found = [
            (path, label)
            for label, folder in enumerate(folders)
            for path in sorted(folder.rglob('*'))
            if path.suffix.lower() in POINT_SUFFIXES
        ]
        if not found:
            raise ValueError(f'data_root: no cloud ({", ".join(POINT_SUFFIXES)}) below {root}')
        return [path for path, _ in found], [label for _, label in found]
