"""Images with one class each: lists, folders and CIFAR."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from PIL import Image

from mmclip.io.parsing import DamagedFile, is_digits, parsing
from mmclip.io.records import DATA_HELP, existing_file, read_csv, read_lines
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names, read_class_names

_IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


@DATASETS.register_module()
class ClassificationList(BaseDataset):
    """Images and classes named in a list.

    The list is a csv file with a head ``file,name`` and perhaps ``split`` (MiniWorld's format), or
    a text file with a path and a class number per line (as ImageNet's ``val.txt``); paths may hold
    spaces.

    Args:
        ann_file: The list, relative to ``data_root``.
        classes: Names in the order of the labels; see
            :func:`mmclip.text.class_names.read_class_names`. With a csv file it may be left out:
            the sorted names of the file.
        splits: Only rows of these splits, e.g. ``['base']``; all if None.
        data_root: Folder of the list.
        data_prefix: ``img_path``: folder of the images below ``data_root``.
        kwargs: As :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: no such list.
        ValueError: a row with a class that is not in ``classes``, a bad number, no row left.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        classes: str | Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.splits = None if splits is None else tuple(splits)
        names = None if classes is None else read_class_names(classes, data_root)
        super().__init__(
            ann_file=ann_file,
            metainfo=None if names is None else dict(classes=names),
            data_root=data_root,
            data_prefix=data_prefix or dict(img_path=''),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Rows with ``img_path``, ``gt_label``, ``img_id`` and perhaps ``split``."""
        path, where = existing_file(self.ann_file, 'ann_file'), f'ann_file: {self.ann_file}'
        rows = self._csv(path, where) if path.suffix == '.csv' else self._text(path, where)
        if self.splits is not None:
            rows = [row for row in rows if row.get('split') in self.splits]
        if not rows:
            raise ValueError(
                f'ann_file: {self.ann_file} has no image'
                + ('' if self.splits is None else f' of the splits {", ".join(self.splits)}')
            )
        folder = self.data_prefix['img_path']
        for index, row in enumerate(rows):
            row.update(img_path=os.path.join(folder, row['img_path']), img_id=index)
        return rows

    def _csv(self, path: Path, where: str) -> list[dict]:
        table = read_csv(path, where, columns=('file', 'name'))
        if 'classes' not in self._metainfo:
            with parsing(where):
                self._metainfo['classes'] = class_names(sorted({row['name'] for _, row in table}))
        number = {name: index for index, name in enumerate(self._metainfo['classes'])}
        rows = []
        for line, row in table:
            if row['name'] not in number:
                near = difflib.get_close_matches(row['name'], number, n=3)
                raise DamagedFile(
                    f'{where}, line {line}: {row["name"]!r} is not among the '
                    f'{len(number)} classes; close names: {", ".join(near) or "none"}'
                )
            if not row['file']:
                raise DamagedFile(f'{where}, line {line}: no file')
            new = dict(img_path=row['file'], gt_label=number[row['name']])
            if row.get('split'):
                new['split'] = row['split']
            rows.append(new)
        return rows

    def _text(self, path: Path, where: str) -> list[dict]:
        names = self._metainfo.get('classes')
        if names is None:
            raise DamagedFile('classes: a list of class numbers needs the names of the classes')
        rows = []
        for line, text in read_lines(path, where):
            image, _, label = text.rpartition(' ')
            if not image or not is_digits(label) or int(label) >= len(names):
                raise DamagedFile(
                    f"{where}, line {line}: expected 'path number' with a number below "
                    f'{len(names)}, got {text!r}'
                )
            rows.append(dict(img_path=image.strip(), gt_label=int(label)))
        return rows


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """Images in one folder per class; labels follow the sorted names of the folders.

    Args:
        data_root: Folder of the class folders, e.g. ``'data/imagenet/val'`` with 1000 WordNet ids.
        classes: Names in the order of the sorted folders; the folders' own names, ``_`` read as a
            space, if None.
        kwargs: As :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: other numbers of folders and names; no image.
    """

    def __init__(
        self, *, data_root: str, classes: str | Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        names = None if classes is None else read_class_names(classes)
        metainfo = None if names is None else dict(classes=names)
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Rows with ``img_path``, ``gt_label`` and ``img_id``."""
        root = Path(self.data_root)
        if not root.is_dir():
            raise FileNotFoundError(f'data_root: the folder {root} does not exist; {DATA_HELP}')
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        if 'classes' not in self._metainfo:
            own = [path.name.replace('_', ' ') for path in folders]
            self._metainfo['classes'] = class_names(own)
        if len(folders) != len(self._metainfo['classes']):
            raise ValueError(
                f'data_root: {root} holds {len(folders)} folders, there are '
                f'{len(self._metainfo["classes"])} classes'
            )
        rows = [
            dict(img_path=str(path), gt_label=label)
            for label, folder in enumerate(folders)
            for path in sorted(folder.rglob('*'))
            if path.suffix.lower() in _IMAGES
        ]
        if not rows:
            raise ValueError(f'data_root: no image ({" ".join(_IMAGES)}) below {root}')
        for index, row in enumerate(rows):
            row['img_id'] = index
        return rows


@DATASETS.register_module()
class CIFAR(BaseDataset):
    """CIFAR-10 or CIFAR-100 from its python archive, read (and its check sums tested) by
    torchvision.

    Args:
        data_root: Folder that holds ``cifar-10-batches-py`` or ``cifar-100-python``.
        version: 10 or 100.
        train: Whether the 50 000 training images, else the 10 000 test ones.
        kwargs: As :class:`mmengine.dataset.BaseDataset`. The pipeline starts with the image in
            ``img``: no loading transform.

    Raises:
        FileNotFoundError: not there or damaged.
        ValueError: another version.
    """

    def __init__(self, *, data_root: str, version: int = 100, train: bool = False, **kwargs: Any):
        if version not in (10, 100):
            raise ValueError(f'version: {version!r} is neither 10 nor 100')
        self.version = version
        self.train = train
        metainfo = dict(classes=class_names(f'cifar{version}'))
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Rows with ``index``, ``gt_label`` and ``img_id``; the images stay in one array."""
        from torchvision import datasets  # imports pickle readers: only for those who use it

        kind = getattr(datasets, f'CIFAR{self.version}')
        try:
            archive = kind(self.data_root, train=self.train, download=False)
        except RuntimeError as error:
            raise FileNotFoundError(
                f'data_root: CIFAR-{self.version} is not in {self.data_root} or is damaged; '
                f'`python -c "from torchvision.datasets import CIFAR{self.version} as C; '
                f"C('{self.data_root}', download=True)\"` brings it"
            ) from error
        self._images = archive.data
        return [
            dict(index=index, img_id=index, gt_label=int(label))
            for index, label in enumerate(archive.targets)
        ]

    def get_data_info(self, idx: int) -> dict:
        """As the base class's, with the image."""
        info = super().get_data_info(idx)
        info['img'] = Image.fromarray(self._images[info['index']])
        info['ori_shape'] = info['img'].size[::-1]
        return info
