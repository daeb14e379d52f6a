"""Videos with sentences: frames by the second, and packing without padding.

A pipeline::

    mmclip.OpenVideo, mmclip.SampleBySecond(per_second=1, max_frames=12), mmclip.DecodeFrames,
    mmclip.FrameResizeCrop(size=224), mmclip.PackTextVideo
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform

from mmclip.datasets.video_reader import VideoReader
from mmclip.registry import TRANSFORMS

CUTS = ('uniform', 'head', 'tail')
ORDERS = ('normal', 'reverse', 'shuffle')


def frames_by_second(
    num_frames: int,
    rate: float,
    per_second: int = 1,
    *,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """Numbers of frames that stand at equal places of each second.

    Source: official ``RawVideoExtractorCV2``: the rate is cut to a whole number, second s begins at
    frame s * rate, and its frames are ``rate // per_second`` apart. The second ``end`` is included.

    Args:
        num_frames: Of the video.
        rate: Its frames per second.
        per_second: Frames of each second; 0: all.
        start, end: In seconds; None: the whole video.

    Returns:
        (n,) int64, rising; empty if the video ends before ``start``.
    """
    rate = max(1, int(rate))
    step = max(1, rate // per_second) if per_second else 1
    offsets = np.arange(0, rate, step)[: per_second or rate]
    last = -(-num_frames // rate)
    last = last if end is None else min(int(end), last)
    seconds = np.arange(int(start or 0), last + 1)
    numbers = (seconds[:, None] * rate + offsets).reshape(-1)
    return numbers[numbers < num_frames]


def frames_by_moment(
    reader: VideoReader,
    per_second: int = 1,
    *,
    start: float | None = None,
    end: float | None = None,
) -> np.ndarray:
    """As :func:`frames_by_second` of a video whose frame rate varies: what is seen at these times.

    The official rule takes the average rate, which puts a second of such a video anywhere.

    Args:
        reader: With moments.
        per_second, start, end: As :func:`frames_by_second`.
    """
    length = reader.moments[-1]
    first, last = int(start or 0), int(length if end is None else min(end, length))
    if not per_second:
        inside = (reader.moments >= first) & (reader.moments < last + 1)
        return inside.nonzero()[0]
    times = first + np.arange(max(0, last + 1 - first) * per_second) / per_second
    return np.unique(reader.number_at(times[times <= length + 1e-6]))


def cut_frames(count: int, max_frames: int, cut: str = 'uniform') -> np.ndarray:
    """Which of n frames are taken if at most ``max_frames`` may be: (min(n, max_frames),) places.

    Source: official ``slice_framepos`` 0 (``'head'``), 1 (``'tail'``) and 2 (``'uniform'``:
    equally spaced from the first to the last, cut to whole numbers).
    """
    if count <= max_frames:
        return np.arange(count)
    if cut == 'head':
        return np.arange(max_frames)
    if cut == 'tail':
        return np.arange(count - max_frames, count)
    return np.linspace(0, count - 1, num=max_frames, dtype=int)


@TRANSFORMS.register_module()
class SampleBySecond(BaseTransform):
    """Chooses frames by the second (:func:`frames_by_second`) and cuts what is too many.

    A shorter video gives fewer frames: they are padded in the batch and masked. Where the frame
    rate varies, the moments of the frames count (:func:`frames_by_moment`).

    Args:
        per_second: Frames of each second; 0: all.
        max_frames: T.
        cut: As :func:`cut_frames`.
        order: ``'normal'``, ``'reverse'`` or ``'shuffle'``, of the frames that are taken.

    Raises:
        ValueError: numbers out of range, unknown words; no frame between ``start`` and ``end``.
    """

    def __init__(
        self,
        *,
        per_second: int = 1,
        max_frames: int = 12,
        cut: str = 'uniform',
        order: str = 'normal',
    ) -> None:
        if per_second < 0 or max_frames < 1:
            raise ValueError(
                f'per_second: {per_second}, max_frames: {max_frames}; allowed are 0 and more, '
                '1 and more'
            )
        for name, value, allowed in (('cut', cut, CUTS), ('order', order, ORDERS)):
            if value not in allowed:
                raise ValueError(f'{name}: {value!r} is none of {allowed}')
        self.per_second, self.max_frames, self.cut = per_second, max_frames, cut
        self.order = order

    def transform(self, results: dict) -> dict:
        """Adds ``frame_inds`` (n,), ``clip_len`` 1, ``num_clips`` n, ``frame_interval``."""
        start, end = results.get('start'), results.get('end')
        reader = results['video_reader']
        if reader.varies:
            numbers = frames_by_moment(reader, self.per_second, start=start, end=end)
        else:
            numbers = frames_by_second(
                results['total_frames'], reader.frame_rate, self.per_second, start=start, end=end
            )
        if not len(numbers):
            name = results.get('filename', 'the video')
            raise ValueError(f'filename: {name} has no frame from second {start} to {end}')
        numbers = numbers[cut_frames(len(numbers), self.max_frames, self.cut)]
        if self.order == 'reverse':
            numbers = numbers[::-1].copy()
        elif self.order == 'shuffle':
            numbers = np.random.permutation(numbers)
        results['frame_inds'] = numbers
        results.update(clip_len=1, num_clips=len(numbers), frame_interval=None)
        return results


@TRANSFORMS.register_module()
class PackTextVideo(BaseTransform):
    """Frames as they are, and a data sample with the sentences.

    Args:
        meta_keys: Fields that go along.

    Shapes:
        ``inputs`` uint8 (T, 3, H, W); (0, 3, 1, 1) without a frame.
    """

    def __init__(self, *, meta_keys: Sequence[str] = ('video_id', 'filename')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """``inputs`` and ``data_samples`` with ``texts``.

        Raises:
            ValueError: no texts.
        """
        if 'texts' not in results:
            raise ValueError('texts: there are none; a text-video dataset gives them')
        if results['imgs']:
            frames = torch.from_numpy(np.stack(results['imgs'])).permute(0, 3, 1, 2).contiguous()
        else:
            frames = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        meta = {key: results[key] for key in self.meta_keys if key in results}
        sample = ActionDataSample(metainfo=meta)
        sample.texts = list(results['texts'])
        return dict(inputs=frames, data_samples=sample)
