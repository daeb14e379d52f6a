"""The text-video datasets of CLIP4Clip in their own formats, and a plain one for one's own."""

import csv
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from mmclip.datasets.text_video import Clip, TextVideoDataset, in_order, read_list
from mmclip.io.checkpoint import read_checkpoint
from mmclip.io.parsing import DamagedFile, parse_json, parsing
from mmclip.registry import DATASETS


def _json(path: str, argument: str) -> Any:
    return parse_json(read_list(path, argument), f'{argument}: {path}')


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
            rows = list(csv.DictReader(read_list(self.video_list, 'video_list').splitlines()))
            if not rows or 'video_id' not in rows[0]:
                raise DamagedFile(f"video_list: {self.video_list} needs a head with 'video_id'")
        if rows and 'sentence' in rows[0]:
            yield from (Clip(row['video_id'], [row['sentence'] or '']) for row in rows)
            return
        data = _json(self.ann_file, 'ann_file')
        texts = defaultdict(list)
        for sentence in data['sentences']:
            texts[sentence['video_id']].append(sentence['caption'])
        ids = [row['video_id'] for row in rows]
        if self.video_list is None:
            ids = [v['video_id'] for v in data['videos'] if v['split'] == self.split]
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
        ids = read_list(self.video_list, 'video_list').split('\n')
        if not os.path.isfile(self.ann_file):
            read_list(self.ann_file, 'ann_file')
        with parsing(f'ann_file: {self.ann_file}'):
            texts = {
                name: [' '.join(words) for words in captions]
                for name, captions in read_checkpoint(self.ann_file).items()
            }
        yield from in_order([i.strip() for i in ids if i.strip()], texts, self.ann_file)


@DATASETS.register_module()
class LSMDC(TextVideoDataset):
    """LSMDC: lines of clip, four times and a sentence, between tabs.

    ``LSMDC16_annos_training.csv``, ``LSMDC16_annos_val.csv`` and
    ``LSMDC16_challenge_1000_publictect.csv``. In training a clip may stand in several lines.
    """

    def read_clips(self) -> Iterator[Clip]:
        """A clip per video, its sentences together, in the order of the first."""
        texts = defaultdict(list)
        for number, line in enumerate(read_list(self.ann_file, 'ann_file').split('\n'), start=1):
            if not line.strip():
                continue
            fields = line.strip().split('\t')
            if len(fields) != 6:
                raise DamagedFile(
                    f'ann_file: {self.ann_file} line {number} has {len(fields)} fields between '
                    'tabs; expected 6'
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
        data = _json(self.ann_file, 'ann_file')
        ids = list(data)
        if self.video_list is not None:
            ids = list(dict.fromkeys(_json(self.video_list, 'video_list')))
        for video_id in ids:
            if video_id not in data:
                continue  # the official lists hold videos that were never described
            row = data[video_id]
            end = math.ceil(float(row['duration']))
            yield Clip(video_id, [_paragraph(row['sentences'])], 0, end)


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
            lines = read_list(self.video_list, 'video_list').split('\n')
            keep = {line.strip() for line in lines if line.strip()}
        sentences = defaultdict(list)
        for row in _json(self.ann_file, 'ann_file'):
            if keep is None or row['video'] in keep:
                sentences[row['video']].append(row['description'])
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
            rows = csv.DictReader(read_list(self.video_list, 'video_list').splitlines())
            keep = {
                row['video_id']
                for row in rows
                if not self.categories or row['category_1'] in self.categories
            }
        for video_id, spoken in _json(self.ann_file, 'ann_file').items():
            if keep is not None and video_id not in keep:
                continue
            first, words = None, []
            lines = zip(spoken['start'], spoken['end'], spoken['text'], strict=True)
            for start, end, text in lines:
                first = float(start) if first is None else first
                words.append(str(text).strip())
                if end - first >= self.min_seconds and any(words):
                    yield Clip(video_id, [' '.join(filter(None, words))], first, float(end))
                    first, words = None, []


@DATASETS.register_module()
class VideoCaptions(TextVideoDataset):
    """One's own videos: a json ``{file: [sentence, ...]}``, or a line of json per clip.

    The json is that of MMAction2's ``VideoTextDataset``. Lines (``.jsonl``) hold ``video`` and
    ``text`` or ``texts``, and may hold ``start`` and ``end`` in seconds.
    """

    def read_clips(self) -> Iterator[Clip]:
        """In the order of the file."""
        if not self.ann_file.endswith('.jsonl'):
            for name, texts in _json(self.ann_file, 'ann_file').items():
                yield Clip(name, [texts] if isinstance(texts, str) else texts)
            return
        for number, line in enumerate(read_list(self.ann_file, 'ann_file').split('\n'), start=1):
            if not line.strip():
                continue
            where = f'ann_file: {self.ann_file} line {number}'
            row = parse_json(line, where, kind=dict)
            with parsing(where, "expected {'video': ..., 'text': ...}"):
                texts = row['texts'] if 'texts' in row else [row['text']]
                clip = Clip(row['video'], texts, row.get('start'), row.get('end'))
            yield clip
