"""Videos to frames: opening, sampling, decoding, resizing. Fields are named as MMAction2's.

A pipeline for tests::

    mmclip.OpenVideo, mmclip.SampleSegments(num_segments=8), mmclip.DecodeFrames,
    mmclip.FrameResizeCrop(size=224, short_side=256), mmaction.FormatShape(input_format='NCHW'),
    mmaction.PackActionInputs
"""

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmclip.datasets.video_reader import BACKENDS, open_video
from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Opens ``filename`` and counts its frames into ``total_frames``.

    Args:
        backend: ``'pyav'`` or ``'decord'``.

    Raises:
        FileNotFoundError, ValueError: no such file, no video, no frame; another backend.
    """

    def __init__(self, *, backend: str = 'pyav') -> None:
        if backend not in BACKENDS:
            raise ValueError(f'backend: {backend!r} is none of {BACKENDS}')
        self.backend = backend

    def transform(self, results: dict) -> dict:
        """Adds ``video_reader`` and ``total_frames``."""
        results['video_reader'] = open_video(results['filename'], self.backend)
        results['total_frames'] = results['video_reader'].num_frames
        return results


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decodes ``frame_inds`` into ``imgs``, RGB uint8, and closes the video."""

    def transform(self, results: dict) -> dict:
        """Adds ``imgs``, ``original_shape``, ``img_shape``."""
        numbers = np.asarray(results['frame_inds']).reshape(-1).tolist()
        with results.pop('video_reader') as reader:
            frames = reader.read(numbers)
        # Repeats get arrays of their own: MMAction2's Flip works in place, twice is never.
        results['imgs'], seen = [], set()
        for frame in frames:
            results['imgs'].append(frame.copy() if id(frame) in seen else frame)
            seen.add(id(frame))
        results['original_shape'] = results['img_shape'] = results['imgs'][0].shape[:2]
        return results


def segment_ticks(num_frames: int, num_segments: int) -> np.ndarray:
    """Where T equal segments of n frames begin, and the end: (T + 1,) integers."""
    return np.arange(num_segments + 1) * num_frames // num_segments


def middle_frames(
    num_frames: int, num_segments: int, *, view: int = 0, views: int = 1
) -> np.ndarray:
    """(T,) the middle frame of every segment, counted from 0; with views, evenly spread places.

    Source: official ``Action_DATASETS`` at test time: trunc(i n / T + (n / T - 1) / 2), but
    floor(n / 2) for T = 1, and floor(i n / T) if there are no more than T frames. (MMAction2's
    ``SampleFrames`` differs by a frame at times.)
    """
    length = num_frames / num_segments
    if num_segments == views == 1:
        return np.array([num_frames // 2])
    if num_frames <= num_segments:
        return segment_ticks(num_frames, num_segments)[:-1]
    place = (length - 1) * (2 * view + 1) / (2 * views)
    return (np.arange(num_segments) * length + place).astype(int)


def random_frames(
    num_frames: int, num_segments: int, random: np.random.RandomState | None = None
) -> np.ndarray:
    """(T,) a random frame of every segment, counted from 0.

    With no more than T frames: all of them and random repeats, in order.
    """
    random = random or np.random.mtrand._rand  # the global one, which MMEngine seeds per worker
    if num_frames <= num_segments:
        repeats = random.randint(num_frames, size=num_segments - num_frames)
        return np.sort(np.concatenate([np.arange(num_frames), repeats]))
    ticks = segment_ticks(num_frames, num_segments)
    return random.randint(ticks[:-1], ticks[1:])


@TRANSFORMS.register_module()
class SampleSegments(BaseTransform):
    """Chooses one frame out of each of T equal segments, for one or several views.

    Source: TSN's sampling, as the official code of ActionCLIP.

    Args:
        num_segments: T; None: the dataset says (``VideoClassificationDataset(num_segments=...)``).
        test_mode: The middle of each segment instead of a random frame.
        num_views: Views in time (``test_mode``); the frames come view by view. None: the dataset
            says, or one.

    Raises:
        ValueError: no segment or view; a video without a frame.
    """

    def __init__(
        self,
        *,
        num_segments: int | None = None,
        test_mode: bool = False,
        num_views: int | None = None,
    ) -> None:
        for name, value in (('num_segments', num_segments), ('num_views', num_views)):
            if value is not None and value < 1:
                raise ValueError(f'{name}: {value}; allowed are 1 and more')
        self.num_segments = num_segments
        self.test_mode = test_mode
        self.num_views = num_views

    def transform(self, results: dict) -> dict:
        """Adds ``frame_inds`` (views * T,), ``clip_len`` 1, ``num_clips``, ``frame_interval``."""
        total = results['total_frames']
        if total < 1:
            name = results.get('filename', results.get('frame_dir', 'a video'))
            raise ValueError(f'total_frames: {name} has {total} frames')
        count = self.num_segments or results.get('num_segments')
        num_views = self.num_views or results.get('num_views') or 1
        if count is None:
            raise ValueError('num_segments: neither the transform nor the dataset says how many')
        if num_views > 1 and not self.test_mode:
            raise ValueError(f'num_views: {num_views} views need test_mode=True')
        if self.test_mode:
            views = [
                middle_frames(total, count, view=view, views=num_views) for view in range(num_views)
            ]
        else:
            views = [random_frames(total, count)]
        # MMAction2 reads the files of single frames from `start_index` on.
        results['frame_inds'] = np.concatenate(views) + results.get('start_index', 0)
        results.update(clip_len=1, num_clips=len(results['frame_inds']), frame_interval=None)
        return results


# Images go back to frames by np.array, which copies: a view of an image cannot be written to,
# and MMAction2's Flip writes.
def _as_image(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame))


@TRANSFORMS.register_module()
class FrameResizeCrop(BaseTransform):
    """Resizes the short side of all frames and crops the center, as CLIP does: bicubic, Pillow.

    Source: official ``GroupScale`` and ``GroupCenterCrop``.

    Args:
        size: Side S of the crop, in pixels; None: no crop (for MMAction2's ``ThreeCrop``).
        short_side: Of the resized frame; None is S. 256 for 224 in ActionCLIP.
    """

    def __init__(self, *, size: int | None, short_side: int | None = None) -> None:
        short_side = short_side or size
        if not short_side or (size is not None and not 0 < size <= short_side):
            raise ValueError(f'size: {size} with short_side {short_side}; need 1 <= size <= short')
        self.size = size
        self.short_side = short_side

    def transform(self, results: dict) -> dict:
        """Changes ``imgs`` and ``img_shape``."""
        results['imgs'] = [self._one(frame) for frame in results['imgs']]
        results['img_shape'] = results['imgs'][0].shape[:2]
        return results

    def _one(self, frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        short = min(height, width)
        new = [self.short_side * side // short for side in (width, height)]
        image = _as_image(frame)
        if short != self.short_side:
            image = image.resize(new, Image.Resampling.BICUBIC)
        if self.size is None:
            return np.array(image)
        left, top = (round((side - self.size) / 2) for side in image.size)
        return np.array(image.crop((left, top, left + self.size, top + self.size)))


@TRANSFORMS.register_module()
class FrameResize(BaseTransform):
    """Resizes all frames to a square, bilinear, by Pillow (which smooths when it shrinks).

    Args:
        size: Side in pixels.
    """

    def __init__(self, *, size: int) -> None:
        if size < 1:
            raise ValueError(f'size: {size} is not a positive number of pixels')
        self.size = size

    def transform(self, results: dict) -> dict:
        """Changes ``imgs`` and ``img_shape``."""
        square = (self.size, self.size)
        results['imgs'] = [
            np.array(_as_image(frame).resize(square, Image.Resampling.BILINEAR))
            for frame in results['imgs']
        ]
        results['img_shape'] = square
        return results
