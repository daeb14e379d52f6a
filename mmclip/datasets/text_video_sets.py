"""The text-video datasets of CLIP4Clip in their own formats, and a plain one for one's own."""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from mmclip.datasets.text_video import Clip, TextVideoDataset, in_order
from mmclip.io.checkpoint import read_checkpoint
from mmclip.io.parsing import DamagedFile, parsing
from mmclip.io.records import read_csv, read_jsonl, read_lines, read_typed_json, typed
from mmclip.registry import DATASETS


class _Sentence(msgspec.Struct):
    video_id: str
    caption: str


class _Video(msgspec.Struct):
    video_id: str
    split: str


class _MSRVTTFile(msgspec.Struct):
    sentences: list[_Sentence]
    videos: list[_Video]


class _Paragraph(msgspec.Struct):
    duration: float
    sentences: list[str]


class _Description(msgspec.Struct):
    video: str
    description: str


class _Speech(msgspec.Struct):
    start: list[float]
    end: list[float]
    text: list


class _ClipRecord(msgspec.Struct):
    video: str
    text: str | None = None
    texts: list[str] | None = None
    start: int | float | None = None
    end: int | float | None = None


@DATASETS.register_module()
class MSRVTT(TextVideoDataset):
    """MSR-VTT: ``MSRVTT_data.json`` and a list of videos.

    The json holds ``videos`` (with ``video_id`` and ``split``) and ``sentences`` (``video_id``,
    ``caption``), twenty of a video. ``video_list``, a csv with the head ``video_id`` (the 9k and 7k
    training lists) or one with ``video_id`` and ``sentence`` (the 1k-A test list, whose sentences
    count instead). Without a list, the videos of ``split``.

    Args:
        split: ``'train'``, ``'validate'`` or ``'test'`` of the json; only without a list.
        kwargs: As :class:`mmclip.datasets.text_video.TextVideoDataset`.
    """

    def __init__(self, *, split: str | None = None, **kwargs: Any) -> None:
        if (split is None) == (kwargs.get('video_list') is None):
            raise ValueError('split: give either a split of the json or a video_list')
        self.split = split
        super().__init__(**kwargs)

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the list."""
        rows: list[dict] = []
        if self.video_list is not None:
            table = read_csv(*self.source('video_list'), columns=('video_id',))
            rows = [row for _, row in table]
        if rows and 'sentence' in rows[0]:
            yield from (Clip(row['video_id'], [row['sentence']]) for row in rows)
            return
        data = read_typed_json(*self.source('ann_file'), _MSRVTTFile)
        texts = defaultdict(list)
        for sentence in data.sentences:
            texts[sentence.video_id].append(sentence.caption)
        ids = [row['video_id'] for row in rows]
        if self.video_list is None:
            ids = [video.video_id for video in data.videos if video.split == self.split]
        yield from in_order(ids, texts, self.ann_file)


@DATASETS.register_module()
class MSVD(TextVideoDataset):
    """MSVD: ``raw-captions.pkl`` (video -> lists of words) and ``{train,val,test}_list.txt``.

    The pickle is read without running what it holds (:mod:`mmclip.io.checkpoint`).
    """

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the list, about forty sentences each."""
        if self.video_list is None:
            raise DamagedFile('video_list: MSVD needs one, e.g. train_list.txt')
        ids = [line for _, line in read_lines(*self.source('video_list'))]
        path, where = self.source('ann_file')
        with parsing(where):
            texts = {
                name: [' '.join(words) for words in captions]
                for name, captions in read_checkpoint(path).items()
            }
        yield from in_order(ids, texts, self.ann_file)


@DATASETS.register_module()
class LSMDC(TextVideoDataset):
    """LSMDC: lines of clip, four times and a sentence, between tabs.

    ``LSMDC16_annos_training.csv``, ``LSMDC16_annos_val.csv`` and
    ``LSMDC16_challenge_1000_publictect.csv``. In training a clip may stand in several lines.
    """

    def read_clips(self) -> Iterator[Clip]:
        """A clip per video, its sentences together, in the order of the first."""
        texts = defaultdict(list)
        path, where = self.source('ann_file')
        for number, line in read_lines(path, where):
            fields = line.split('\t')
            if len(fields) != 6:
                raise DamagedFile(
                    f'{where}, line {number} has {len(fields)} fields between tabs; expected 6'
                )
            texts[fields[0]].append(fields[5])
        yield from in_order(list(texts), texts, self.ann_file)


def _paragraph(sentences: list[str]) -> str:
    return ' '.join(sentence.strip() for sentence in sentences)


@DATASETS.register_module()
class ActivityNetCaptions(TextVideoDataset):
    """ActivityNet Captions: all sentences of a video as one paragraph, against the whole video.

    ``train.json`` or ``val_1.json``: ``{'v_...': {duration, timestamps, sentences}}``; the list,
    ``train_ids.json`` or ``val_ids.json``, may be left out. Files may be named with or without the
    ``v_``.
    """

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the list."""
        path, where = self.source('ann_file')
        data = read_typed_json(path, where, dict)
        ids = list(data)
        if self.video_list is not None:
            ids = dict.fromkeys(read_typed_json(*self.source('video_list'), list[str]))
        for video_id in ids:
            if video_id not in data:
                continue  # the official lists hold videos that were never described
            row = typed(data[video_id], _Paragraph, f'{where}: {video_id!r}')
            yield Clip(video_id, [_paragraph(row.sentences)], 0, math.ceil(row.duration))


@DATASETS.register_module()
class DiDeMo(TextVideoDataset):
    """DiDeMo: all sentences of a video as one paragraph, against its first half minute.

    ``{train,val,test}_data.json``: a list of ``video``, ``description`` and ``times``; the list,
    ``{train,val,test}_list.txt``, may be left out. Videos were cut at 30 seconds when they were
    described; as officially, second 31 is the last.
    """

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the annotations, as officially."""
        keep = None
        if self.video_list is not None:
            keep = {line for _, line in read_lines(*self.source('video_list'))}
        sentences = defaultdict(list)
        for row in read_typed_json(*self.source('ann_file'), list[_Description]):
            if keep is None or row.video in keep:
                sentences[row.video].append(row.description)
        for video_id, texts in sentences.items():
            yield Clip(video_id, [_paragraph(texts)], 0, 31)


@DATASETS.register_module()
class HowTo100M(TextVideoDataset):
    """HowTo100M: what is said in a video, second by second, for post-pretraining.

    ``raw_caption.json``: ``{video: {start: [...], end: [...], text: [...]}}``. ``video_list``,
    ``HowTo100M_v1.csv`` (``video_id,category_1,category_2,...``), is needed for ``categories``.

    Args:
        categories: Only videos whose ``category_1`` is one of these; the paper's 380k are those of
            'Food and Entertaining'.
        min_seconds: Spoken lines are joined until they last so long.
        kwargs: As :class:`mmclip.datasets.text_video.TextVideoDataset`.
    """

    def __init__(
        self, *, categories: list[str] | None = None, min_seconds: float = 0.0, **kwargs: Any
    ) -> None:
        if categories and kwargs.get('video_list') is None:
            raise ValueError('categories: they need video_list, the HowTo100M_v1.csv')
        self.categories, self.min_seconds = categories, min_seconds
        super().__init__(**kwargs)

    def read_clips(self) -> Iterator[Clip]:
        """A clip per spoken line, or lines."""
        keep = None
        if self.video_list is not None:
            columns = ('video_id', 'category_1') if self.categories else ('video_id',)
            keep = {
                row['video_id']
                for _, row in read_csv(*self.source('video_list'), columns=columns)
                if not self.categories or row['category_1'] in self.categories
            }
        path, where = self.source('ann_file')
        for video_id, record in read_typed_json(path, where, dict).items():
            if keep is not None and video_id not in keep:
                continue
            spoken = typed(record, _Speech, f'{where}: {video_id!r}')
            first, words = None, []
            with parsing(f'{where}: {video_id!r}'):
                lines = list(zip(spoken.start, spoken.end, spoken.text, strict=True))
            for start, end, text in lines:
                first = start if first is None else first
                words.append(str(text).strip())
                if end - first >= self.min_seconds and any(words):
                    yield Clip(video_id, [' '.join(filter(None, words))], first, end)
                    first, words = None, []


@DATASETS.register_module()
class VideoCaptions(TextVideoDataset):
    """One's own videos: a json ``{file: [sentence, ...]}``, or a line of json per clip.

    The json is that of MMAction2's ``VideoTextDataset``. Lines (``.jsonl``) hold ``video`` and
    ``text`` or ``texts``, and may hold ``start`` and ``end`` in seconds.
    """

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the file."""
        path, where = self.source('ann_file')
        if path.suffix != '.jsonl':
            for name, said in read_typed_json(path, where, dict).items():
                texts = typed(said, str | list[str], f'{where}: {name!r}')
                yield Clip(name, [texts] if isinstance(texts, str) else texts)
            return
        hint = "expected {'video': ..., 'text': ...}"
        for number, record in read_jsonl(path, where):
            row = typed(record, _ClipRecord, f'{where}, line {number}', hint)
            if row.texts is None and row.text is None:
                raise DamagedFile(f"{where}, line {number}: lacks the entry 'text'; {hint}")
            texts = [row.text] if row.texts is None else row.texts
            yield Clip(row.video, texts, row.start, row.end)
