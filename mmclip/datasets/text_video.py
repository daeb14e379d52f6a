"""Videos with sentences, for retrieval: what the datasets share."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmclip.datasets.video_reader import VIDEO_ENDINGS
from mmclip.io.parsing import DamagedFile, finite_numbers, parsing, texts
from mmclip.io.records import DATA_HELP, existing_file


class Clip(NamedTuple):
    """A video, or a part of one, and what is said about it.

    Attributes:
        video_id: As the annotations name it; the file's name, or its path below the folder of the
            videos, with or without its ending.
        texts: Sentences.
        start, end: In seconds; None: the whole video.
    """

    video_id: str
    texts: list[str]
    start: float | None = None
    end: float | None = None


class VideoFolder:
    """Finds videos by name below a folder, which is walked through once.

    A bare name is looked for in all sub-folders; a name with a folder in it (``a/1.mp4``) means
    that one, since ``b/1.mp4`` is another video. Files that lie beside a video under its name
    (thumbnails, descriptions, parts of a download) are none: only names with an ending of a video
    stand for a name without, or with another one.

    Args:
        folder: Sub-folders count.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = str(folder)
        # Names, and paths below the folder, of every file; without its ending, of every video.
        self._by_name: dict[str, str] = {}
        self._by_stem: dict[str, str] = {}
        for root, folders, names in os.walk(self.folder, followlinks=True):
            folders.sort()
            below = os.path.relpath(root, self.folder)
            for name in sorted(names):
                path = os.path.join(root, name)
                for key in {name, os.path.normpath(os.path.join(below, name))}:
                    self._by_name.setdefault(key, path)
                    if name.lower().endswith(VIDEO_ENDINGS):
                        self._by_stem.setdefault(os.path.splitext(key)[0], path)

    def find(self, video_id: str) -> str | None:
        """The path of a video: by its whole name, by that without its ending, or with another."""
        if os.path.isabs(video_id):
            video_id = os.path.relpath(video_id, self.folder)
        where, name = os.path.split(os.path.normpath(video_id))
        for short in (name, name.removeprefix('v_')):  # ActivityNet's files lack its 'v_'
            key = os.path.join(where, short)
            stem = os.path.splitext(key)[0]
            found = self._by_name.get(key) or self._by_stem.get(key) or self._by_stem.get(stem)
            if found:
                return found
        return None


class TextVideoDataset(BaseDataset):
    """Videos and their sentences.

    In training (``test_mode=False``) each sample is a video and one sentence: every pair once per
    epoch (``expand=True``), or every video once with a sentence at random. In a test a sample is a
    video with all its sentences, so each is encoded once.

    Args:
        ann_file: Annotations, relative to ``data_root``.
        video_list: Which videos count and in which order; the dataset's own format, or None.
        expand: See above.
        max_texts: Sentences of a video that count, the first ones; None: all.
        missing: ``'error'``: a video of the list without a file is an error; ``'drop'``: it is left
            out, with a warning (the official loaders of LSMDC, ActivityNet and DiDeMo do so).
            Figures of an incomplete test set are not comparable.
        skip_broken: In training, take another clip instead of one that cannot be read, with a
            warning.
        allow_empty: In a test, go on with a video that cannot be read as one without frames, which
            :class:`mmclip.VideoRetrieval` ranks last, with a warning; else it is an error.
        data_root: Folder.
        data_prefix: ``video``: folder of the videos below ``data_root``, sub-folders included.
        kwargs: As :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: no such list; with ``missing='error'`` a missing video.
        ValueError: a damaged list, a video without a sentence, an empty list, unknown words.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        video_list: str | None = None,
        expand: bool = True,
        max_texts: int | None = None,
        missing: str = 'error',
        skip_broken: bool = False,
        allow_empty: bool = False,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if missing not in ('error', 'drop'):
            raise ValueError(f"missing: {missing!r} is neither 'error' nor 'drop'")
        if max_texts is not None and max_texts < 1:
            raise ValueError(f'max_texts: {max_texts}; allowed are positive numbers and None')
        self.video_list = None if video_list is None else os.path.join(data_root, video_list)
        self.expand, self.max_texts = expand, max_texts
        self.missing, self.skip_broken, self.allow_empty = missing, skip_broken, allow_empty
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix or dict(video='videos'),
            **kwargs,
        )

    def source(self, argument: str) -> tuple[Path, str]:
        """The path that an argument gives, and what to call it in an error.

        Raises:
            FileNotFoundError: no such file.
        """
        path = existing_file(getattr(self, argument), argument)
        return path, f'{argument}: {path}'

    def read_clips(self) -> Iterable[Clip]:
        """What the files say; each dataset's own."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Rows with ``video_id``, ``filename``, ``texts``, and ``start`` and ``end`` if told."""
        folder, rows, lost = VideoFolder(self.data_prefix['video']), [], []
        for clip in self._clips():
            found = [text for text in (t.strip() for t in clip.texts) if text][: self.max_texts]
            if not found:
                raise ValueError(f'ann_file: {self.ann_file} has no sentence of {clip.video_id!r}')
            path = folder.find(clip.video_id)
            if path is None:
                lost.append(clip.video_id)
                continue
            row = dict(video_id=clip.video_id, filename=path, texts=found)
            if clip.start is not None:
                row.update(start=clip.start, end=clip.end)
            each = self.expand and not self.test_mode
            rows += [dict(row, texts=[text]) for text in found] if each else [row]
        if lost:
            self._tell_missing(lost, folder.folder)
        if not rows:
            raise ValueError(f'ann_file: {self.ann_file} leaves no video')
        return rows

    def _clips(self) -> list[Clip]:
        with parsing(f'ann_file: {self.ann_file}'):
            clips = list(self.read_clips())
        for clip in clips:
            with parsing(f'ann_file: {self.ann_file}: {clip.video_id!r:.60}'):
                texts([clip.video_id], 'names of videos')
                texts(clip.texts, 'sentences')
                if clip.start is not None:
                    finite_numbers([clip.start, clip.end], 2, 'start and end')
        return clips

    def _tell_missing(self, lost: list[str], folder: str) -> None:
        names = sorted(set(lost))
        text = f'{len(names)} videos of the list are not below {folder}, e.g. {names[0]}'
        if self.missing == 'error':
            raise FileNotFoundError(
                f"data_prefix: {text}; {DATA_HELP}. missing='drop' goes on without them"
            )
        print_log(f'{text}: they are left out', 'current', level=30)

    def get_data_info(self, idx: int) -> dict:
        """A row; in training with one sentence, drawn if there are several."""
        info = super().get_data_info(idx)
        if not self.test_mode and len(info['texts']) > 1:
            info['texts'] = [info['texts'][np.random.randint(len(info['texts']))]]
        return info

    def prepare_data(self, idx: int) -> Any:
        """What the pipeline makes of a row; None asks for another one."""
        try:
            return super().prepare_data(idx)
        except (FileNotFoundError, ValueError) as error:
            if self.test_mode and self.allow_empty:
                print_log(f'a video counts as one without frames: {error}', 'current', level=30)
                return self.pipeline.transforms[-1](dict(self.get_data_info(idx), imgs=[]))
            if not self.skip_broken or self.test_mode:
                raise
            print_log(f'a clip is left out: {error}', 'current', level=30)
            return None


def in_order(ids: Iterable[str], said: dict[str, list[str]], where: str) -> Iterator[Clip]:
    """Clips of a list of videos.

    Raises:
        ValueError: a video without a sentence.
    """
    for video_id in ids:
        if video_id not in said:
            raise DamagedFile(f'ann_file: {where} has no sentence of {video_id!r}')
        yield Clip(video_id, said[video_id])
