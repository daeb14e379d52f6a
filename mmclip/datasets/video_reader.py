"""Reads chosen frames of a video exactly: by PyAV, or by decord."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

BACKENDS = ('pyav', 'decord')
VIDEO_ENDINGS = (
    '.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.flv', '.wmv', '.ts', '.3gp',
)  # fmt: skip
_INSTALL = '`pip install av` (or mmclip[video]) brings it'

# Containers that keep an index by moments of presentation. Elsewhere a jump may land behind its aim
# (MPEG-TS and -PS), or the moments of packets are not those of frames (AVI with B-frames).
_SEEKABLE = {'mov', 'mp4', 'matroska', 'webm', 'flv'}


class VideoReader:
    """What the readers share: the file is closed at the end of a ``with``, frames have moments."""

    num_frames: int

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _seconds(self) -> np.ndarray | None:
        """(num_frames,) when each frame is shown, in order; None if the file does not tell."""
        raise NotImplementedError

    @cached_property
    def moments(self) -> np.ndarray | None:
        """(num_frames,) seconds from the first frame on, rising; None if the file tells none."""
        seconds = self._seconds()
        if seconds is None or (np.diff(seconds) <= 0).any():  # decord on an AVI, e.g.
            return None
        return seconds - seconds[0]

    @cached_property
    def varies(self) -> bool:
        """Whether the frame rate does: some frame is further than one from its even place."""
        if self.moments is None or self.num_frames < 3:
            return False
        even = np.linspace(0, self.moments[-1], self.num_frames)
        return bool(np.abs(self.moments - even).max() > even[1])

    def number_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers of the frames that are seen at some times, in seconds from the first frame on."""
        # Moments are multiples of a tick: a hair more than the time itself finds the equal one.
        return np.searchsorted(self.moments, np.asarray(seconds) + 1e-6, side='right') - 1


class PyAVReader(VideoReader):
    """Frames by number, in the order in which they are shown, whatever the frame rate does.

    The file is walked through once without decoding: that counts the frames (headers often lie) and
    tells the moment of each and where decoding may start. Reading jumps to the nearest such place
    and decodes no more than it must, in containers that allow it; others are decoded from the
    start. Frames are turned as the file says (phones film sideways).

    Args:
        path: A video file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no video, cut off, or without a frame.
        ImportError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        try:
            import av
        except ImportError as error:
            raise ImportError(f'PyAV is needed to read videos: {_INSTALL}') from error
        self._errors = av.FFmpegError
        self.path = str(path)
        if not Path(path).is_file():
            raise FileNotFoundError(f'filename: there is no video {path}')
        try:
            self._container = av.open(self.path)
        except (self._errors, ValueError) as error:
            raise ValueError(f'filename: {path} is no video or is cut off ({error})') from error
        if not self._container.streams.video:
            self.close()
            raise ValueError(f'filename: {path} holds no video stream')
        self._stream = self._container.streams.video[0]
        self._moments, self._starts = self._walk()
        if not self._moments:
            self.close()
            raise ValueError(
                f'filename: {path} holds no frame: its length is zero or it is cut off'
            )
        self._number_of = {moment: number for number, moment in enumerate(self._moments)}
        formats = set(self._container.format.name.split(','))
        self._seeks = bool(formats & _SEEKABLE) and len(self._number_of) == len(self._moments)

    def _walk(self) -> tuple[list[int], list[int]]:
        """Moments of all frames in order, and of those where decoding may start."""
        moments, starts = [], []
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and not packet.is_discard:
                    moments.append(packet.pts)
                    if packet.is_keyframe:
                        starts.append(packet.pts)
        except self._errors:
            pass  # cut off: what came before is there
        if any(moment is None for moment in moments):  # a raw stream: only the order is known
            return [None] * len(moments), []
        return sorted(moments), sorted(starts)

    @property
    def num_frames(self) -> int:
        """Frames in the file."""
        return len(self._moments)

    @property
    def frame_rate(self) -> float:
        """Frames per second, on average if it varies; 0 if the file does not tell."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        if not rate and None not in self._moments and len(self._moments) > 1:
            seconds = (self._moments[-1] - self._moments[0]) * self._stream.time_base
            rate = (len(self._moments) - 1) / seconds if seconds else 0
        return float(rate or 0)

    def _seconds(self) -> np.ndarray | None:
        if self._moments[0] is None:
            return None
        return np.array(self._moments) * float(self._stream.time_base)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames as RGB uint8 (H, W, 3), in the order asked for; equal numbers share one array.

        A frame that cannot be decoded (the file is damaged) is replaced by the nearest before it
        that can, or by the first one, with a warning.

        Args:
            numbers: 0 is the first frame.

        Raises:
            ValueError: a number out of range; no frame can be decoded.
        """
        wanted = sorted({int(number) for number in numbers})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise ValueError(
                f'numbers: {wanted[0]} to {wanted[-1]}; {self.path} has {self.num_frames} frames'
            )
        found = self._jumping(wanted) if self._seeks else {}
        if len(found) < len(wanted):  # no jumps, or one has landed wrong
            found = self._in_order(wanted) | found
        if wanted and not found:
            raise ValueError(f'filename: no frame of {self.path} can be decoded')
        lost = [number for number in wanted if number not in found]
        if lost:
            print_log(
                f'{self.path}: {len(lost)} of {len(wanted)} frames cannot be decoded, e.g. '
                f'{lost[0]}; their neighbors stand for them',
                'current',
                level=30,
            )
            for number in lost:
                before = [n for n in found if n < number]
                found[number] = found[max(before) if before else min(found)]
        return [found[int(number)] for number in numbers]

    def _jumping(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found, left = {}, list(wanted)
        while left:
            target = self._moments[left[0]]
            start = max((s for s in self._starts if s <= target), default=self._moments[0])
            try:
                self._container.seek(start, stream=self._stream)
                for frame in self._container.decode(self._stream):
                    number = self._number_of.get(frame.pts)
                    while left and number is not None and left[0] < number:
                        left.pop(0)  # lost
                    if left and number == left[0]:
                        found[left.pop(0)] = _image(frame)
                        if not left or self._jump_pays(number, left[0]):
                            break
                else:
                    left = left[1:]
            except self._errors:
                left = left[1:]
        return found

    def _jump_pays(self, now: int, target: int) -> bool:
        """Whether decoding may start anew between here and there."""
        low, high = self._moments[now], self._moments[target]
        return any(low < start <= high for start in self._starts)

    def _in_order(self, wanted: list[int]) -> dict[int, np.ndarray]:
        import av

        self._container.close()
        self._container = av.open(self.path)
        self._stream = self._container.streams.video[0]
        found, chosen, count = {}, set(wanted), 0
        for frame in self._all_frames():
            # By its moment where that tells frames apart: damage then leaves a gap and no shift.
            number = self._number_of.get(frame.pts) if self._seeks else count
            count += 1
            if number in chosen:
                found[number] = _image(frame)
                if len(found) == len(chosen):
                    break
        return found

    def _all_frames(self) -> Iterator:
        """Frames from the first to the last, past packets that are damaged."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except self._errors:
                    continue
                yield from frames
        except self._errors:
            return  # cut off


def _image(frame: Any) -> np.ndarray:
    """A frame of PyAV as RGB, turned as its file says (counterclockwise, in quarters)."""
    image = frame.to_ndarray(format='rgb24')
    quarters = round(getattr(frame, 'rotation', 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


# Containers of which decord 0.6 was seen to count or place frames wrongly.
MISREAD = ('.avi', '.m2ts', '.mpeg', '.mpg', '.mts', '.ts', '.vob', '.wmv', '.asf')
_WAY_OUT = "backend='pyav', the default of mmclip.OpenVideo, reads what FFmpeg reads"
_warned: set[str] = set()


class DecordReader(VideoReader):
    """The same by decord, which is faster on long videos and less exact on odd ones.

    Args:
        path: A video file.

    Raises:
        FileNotFoundError, ValueError, ImportError: as :class:`PyAVReader`.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        try:
            import decord
        except ImportError as error:
            raise ImportError('decord is not installed: `pip install decord` brings it') from error
        self.path = str(path)
        if not Path(path).is_file():
            raise FileNotFoundError(f'filename: there is no video {path}')
        try:
            self._reader = decord.VideoReader(self.path, num_threads=1)
            self.num_frames = len(self._reader)
        except (RuntimeError, decord.DECORDError) as error:
            raise ValueError(
                f'filename: decord cannot open {path}: it is cut off, no video, or of a format '
                f'unknown to decord (AV1, GIF); {_WAY_OUT} ({str(error).strip()})'
            ) from error
        if not self.num_frames:
            raise ValueError(f'filename: decord finds no frame in {path}; {_WAY_OUT}')
        if Path(path).suffix.lower() in MISREAD and self.path not in _warned:
            _warned.add(self.path)
            print_log(
                f'{path}: decord gives wrong frames of some {Path(path).suffix} files (B-frames, '
                f'open groups of images); {_WAY_OUT}',
                'current',
                level=30,
            )

    @property
    def frame_rate(self) -> float:
        """As :attr:`PyAVReader.frame_rate`."""
        return float(self._reader.get_avg_fps())

    def _seconds(self) -> np.ndarray | None:
        return self._reader.get_frame_timestamp(np.arange(self.num_frames))[:, 0].astype(float)

    def close(self) -> None:
        """Close the file."""
        self._reader = None

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """As :meth:`PyAVReader.read`."""
        if len(numbers) and not 0 <= min(numbers) <= max(numbers) < self.num_frames:
            raise ValueError(
                f'numbers: {min(numbers)} to {max(numbers)}; {self.path} has {self.num_frames} '
                'frames'
            )
        try:
            return list(self._reader.get_batch(list(numbers)).asnumpy())
        except Exception as error:
            raise ValueError(
                f'filename: no frame of {self.path} can be decoded ({error})'
            ) from error


def open_video(path: str | os.PathLike, backend: str = 'pyav') -> PyAVReader | DecordReader:
    """A reader of a video file, to be used in a ``with``.

    Raises:
        ValueError: another backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend: {backend!r} is none of {BACKENDS}')
    return PyAVReader(path) if backend == 'pyav' else DecordReader(path)
