"""Lists of videos with one or several actions each, in the formats of Kinetics and friends."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmclip.io.parsing import DamagedFile, is_digits, parsing, read_json
from mmclip.io.records import DATA_HELP, existing_file, read_lines
from mmclip.registry import DATASETS
from mmclip.text.class_names import class_names, read_class_names


def read_action_names(
    classes: str | Sequence[str], root: str = '', *, split_words: bool = False
) -> tuple[str, ...]:
    """Names of actions in the order of their numbers.

    Args:
        classes, root: As of :func:`mmclip.text.class_names.read_class_names`: a list, a known
            vocabulary or a file, such as the official ``.csv``.
        split_words: Whether 'ApplyEyeMakeup' (UCF101) becomes 'apply eye makeup'. The official code
            takes the names as they are; zero-shot accuracy differs.

    Raises:
        FileNotFoundError, ValueError: no such file; bad names.
    """
    names = read_class_names(classes, root)
    if split_words:
        names = class_names([_split(name) for name in names])
    return names


def _split(name: str) -> str:
    """'ApplyEyeMakeup' -> 'apply eye makeup'; '_' -> ' '."""
    out = ''
    for i, letter in enumerate(name.replace('_', ' ')):
        starts = letter.isupper() and i and (name[i - 1].islower() or name[i + 1 : i + 2].islower())
        out += f' {letter}' if starts else letter
    return ' '.join(out.lower().split())


@DATASETS.register_module()
class VideoClassificationDataset(BaseDataset):
    """Videos, or folders of frames, and their actions, one per line of a text file.

    ``path label`` for videos, ``path number_of_frames label`` for folders of frames
    (``img_00001.jpg`` ...), as MMAction2's and the official lists; several labels per line with
    ``multi_label``. What a row holds is named as MMAction2's datasets name it, so that its
    transforms work.

    Args:
        ann_file: The list, relative to ``data_root``.
        classes: As :func:`read_action_names`.
        split_words: Likewise.
        frames: Whether the list is of folders of frames.
        filename_tmpl: Names of the frames' files.
        multi_label: Whether lines hold any number of labels, or none (Charades); ``label`` is then
            (K,) multi-hot. A video without a label counts in the mean average precision.
        delimiter: Between the fields; paths may hold spaces when it is a space, but not with
            ``multi_label``.
        splits_file: A json file with ``splits`` (name -> base, novel ...); rows then carry
            ``split``. MiniWorld's.
        keep_splits: Only rows of these splits.
        check_files: Whether every file is looked for when the list is read.
        skip_broken: In training, take another clip instead of one that cannot be read, with a
            warning. In tests that is always an error: it would change the figures.
        num_segments, num_views: For :class:`mmclip.SampleSegments` without numbers of its own.
        data_root: Folder of the list.
        data_prefix: ``video``: folder of the videos below ``data_root``.
        kwargs: As :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: no such list; with ``check_files`` a missing video.
        ValueError: a line without a label, a label that is no class, an empty list.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        classes: str | Sequence[str],
        split_words: bool = False,
        frames: bool = False,
        filename_tmpl: str = 'img_{:05}.jpg',
        multi_label: bool = False,
        delimiter: str = ' ',
        splits_file: str | None = None,
        keep_splits: Sequence[str] | None = None,
        check_files: bool = False,
        skip_broken: bool = False,
        num_segments: int | None = None,
        num_views: int | None = None,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.frames = frames
        self.filename_tmpl = filename_tmpl
        self.multi_label = multi_label
        self.delimiter = delimiter
        self.splits_file = splits_file
        self.keep_splits = None if keep_splits is None else tuple(keep_splits)
        self.check_files = check_files
        self.skip_broken = skip_broken
        self.num_segments = num_segments
        self.num_views = num_views
        names = read_action_names(classes, data_root, split_words=split_words)
        super().__init__(
            ann_file=ann_file,
            metainfo=dict(classes=names),
            data_root=data_root,
            data_prefix=data_prefix or dict(video=''),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Rows with ``filename`` (or ``frame_dir`` and ``total_frames``), ``label``, ``split``."""
        path, where = existing_file(self.ann_file, 'ann_file'), f'ann_file: {self.ann_file}'
        splits = self._splits()
        names, rows = self._metainfo['classes'], []
        for number, line in read_lines(path, where):
            row = self._row(line, f'{where}, line {number}')
            if splits is not None:
                row['split'] = splits[names[row['label']]]
            rows.append(row)
        if self.keep_splits is not None:
            rows = [row for row in rows if row.get('split') in self.keep_splits]
        if not rows:
            raise ValueError(f'ann_file: {self.ann_file} has no line, or none of the splits kept')
        if self.check_files:
            paths = (row.get('filename') or row['frame_dir'] for row in rows)
            missing = [path for path in paths if not os.path.exists(path)]
            if missing:
                raise FileNotFoundError(
                    f'ann_file: {len(missing)} of {len(rows)} videos of {self.ann_file} are '
                    f'missing, e.g. {missing[0]}; {DATA_HELP}'
                )
        return rows

    def _splits(self) -> dict[str, str] | None:
        if self.splits_file is None:
            return None
        if self.multi_label:
            raise ValueError('splits_file: a video with several labels lies in no one split')
        path = existing_file(os.path.join(self.data_root or '', self.splits_file), 'splits_file')
        where = f'splits_file: {path}'
        splits = read_json(path, where, kind=dict, keys=('splits',))['splits']
        with parsing(where):
            return {name: splits[name] for name in self._metainfo['classes']}

    def _row(self, line: str, where: str) -> dict:
        fixed = 2 if self.frames else 1
        if self.multi_label:
            fields = line.split(self.delimiter)
        else:
            fields = line.rsplit(self.delimiter, fixed)
        fields = [field.strip() for field in fields if field.strip()]
        path, numbers = os.path.join(self.data_prefix['video'], fields[0]), fields[1:]
        least = fixed - self.multi_label
        if len(numbers) < least or not all(map(is_digits, numbers)):
            wanted = 'path frames label' if self.frames else 'path label'
            wanted += ' label ...' if self.multi_label else ''
            raise DamagedFile(
                f"{where}: expected '{wanted}' between {self.delimiter!r}, got {line!r}"
            )
        row = dict(modality='RGB', start_index=int(self.frames))
        if self.frames:
            row |= dict(frame_dir=path, total_frames=int(numbers.pop(0)))
            row['filename_tmpl'] = self.filename_tmpl
        else:
            row['filename'] = path
        labels = [int(number) for number in numbers]
        count = len(self._metainfo['classes'])
        if labels and max(labels) >= count:
            raise DamagedFile(f'{where}: label {max(labels)}, there are {count} classes')
        row['label'] = labels if self.multi_label else labels[0]
        return row

    def get_data_info(self, idx: int) -> dict:
        """A row and how to sample it; with ``multi_label`` its ``label`` is (K,) multi-hot."""
        info = super().get_data_info(idx)
        info.update(num_segments=self.num_segments, num_views=self.num_views)
        if self.multi_label:
            hot = torch.zeros(len(self.metainfo['classes']))
            hot[info['label']] = 1
            info['label'] = hot
        return info

    def prepare_data(self, idx: int) -> Any:
        """What the pipeline makes of a row; None asks for another one."""
        try:
            return super().prepare_data(idx)
        except (FileNotFoundError, ValueError) as error:
            if not self.skip_broken or self.test_mode:
                raise
            print_log(f'a clip is left out: {error}', 'current', level=30)
            return None
