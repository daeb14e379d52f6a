"""Detections on disk: each process writes its own files while it predicts, one process reads all.

Nothing is collected in memory and nothing but the name of a folder travels between processes.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dist import (
    barrier,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from safetensors.numpy import load_file, save_file

IMAGES_PER_FILE = 256
FOLDER = '.dist_test'  # MMEngine's own name for such a folder
SECONDS_TO_ARRIVE = 10.0


@dataclass
class ImageDetections:
    """Detections of one image, best score first. Boxes are xyxy in pixels of the original image."""

    image_id: int
    boxes: np.ndarray  # (N, 4)
    scores: np.ndarray  # (N,)
    labels: np.ndarray  # (N,)
    masks: list[dict] | None = None  # N compressed run lengths: size, counts (bytes)
    invalid: int = 0  # detections left out because of a NaN

    def __len__(self) -> int:
        return len(self.scores)


class ShardWriter:
    """Collects images and writes them in files of ``IMAGES_PER_FILE``, each complete or absent.

    Args:
        root: Folder that all processes see, in which the files are kept until they are read. By
            default the system's temporary folder for one process and ``.dist_test`` for several.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = root
        self._folder: tempfile.TemporaryDirectory | None = None
        self._waiting: list[ImageDetections] = []
        self._files = 0

    @property
    def folder(self) -> Path:
        if self._folder is None:
            # Removed by `close`, at the latest when the process ends.
            self._folder = _make_folder(self._root)
        return Path(self._folder.name)

    def append(self, image: ImageDetections) -> None:
        self._waiting.append(image)
        if len(self._waiting) >= IMAGES_PER_FILE:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            target = self.folder / f'{get_rank():05d}_{self._files:06d}.safetensors'
            unfinished = target.with_suffix('.tmp')
            save_file(_pack(self._waiting), unfinished)
            os.replace(unfinished, target)
            self._files += 1
            self._waiting = []

    def hand_over(self, target: Path) -> None:
        """Moves all files into ``target`` and leaves a mark that this process is done."""
        self.flush()
        if self._folder is not None:
            for path in sorted(self.folder.glob('*.safetensors')):
                shutil.move(path, target / path.name)
        (target / f'{get_rank():05d}.done').write_text(str(self._files))

    def close(self) -> None:
        """Forgets everything and removes the files."""
        self._waiting, self._files = [], 0
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
            _remove_if_empty(self._root)


class SharedFolder:
    """A folder that the first process makes and names to the others; it is removed at the end."""

    def __init__(self, root: str | None = None) -> None:
        self._root = root
        self._folder: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> Path:
        name = [None]
        if is_main_process():
            self._folder = _make_folder(self._root)
            name = [os.path.abspath(self._folder.name)]
        broadcast_object_list(name)
        return Path(name[0])

    def __exit__(self, *_error) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            _remove_if_empty(self._root)


def collect(writer: ShardWriter, folder: Path) -> None:
    """Brings the files of all processes into ``folder``.

    Raises:
        RuntimeError: On the first process, if another one's files do not arrive.
    """
    problem = None
    try:
        writer.hand_over(folder)
    except OSError as error:
        problem = error  # raised behind the barrier, so that no process waits for ever
    barrier()
    if problem is not None:
        raise problem
    if is_main_process():
        for rank in range(get_world_size()):
            if not _arrived(folder, rank):
                raise RuntimeError(
                    f'the results of process {rank} did not arrive in {folder}; on several '
                    'machines set `collect_dir` of the metric to a folder that all of them share'
                )


def _arrived(folder: Path, rank: int) -> bool:
    """Whether a process's files are all there; network file systems may show them late."""
    mark = folder / f'{rank:05d}.done'
    deadline = time.monotonic() + SECONDS_TO_ARRIVE
    while True:
        found = len(list(folder.glob(f'{rank:05d}_*.safetensors')))
        if mark.is_file() and mark.read_text() == str(found):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def distinct_images(folder: Path) -> Iterator[ImageDetections]:
    """Each image of the files in ``folder`` once, by process and then in the order of prediction.

    Data loaders repeat some images at the end, so that all processes have equally many.
    """
    seen = set()
    for path in sorted(folder.glob('*.safetensors')):
        for image in _unpack(load_file(path)):
            if image.image_id not in seen:
                seen.add(image.image_id)
                yield image


def _make_folder(root: str | None) -> tempfile.TemporaryDirectory:
    if root is None and get_world_size() > 1:
        root = FOLDER
    while True:
        if root is not None:
            os.makedirs(root, exist_ok=True)
        try:
            return tempfile.TemporaryDirectory(
                prefix='mmclip_results_', dir=root, ignore_cleanup_errors=True
            )
        except FileNotFoundError:
            continue  # another process has just removed the empty `root`


def _remove_if_empty(root: str | None) -> None:
    if root is None:
        with contextlib.suppress(OSError):  # not there, or another process still uses it
            os.rmdir(FOLDER)


def _pack(images: list[ImageDetections]) -> dict[str, np.ndarray]:
    packed = dict(
        image_ids=np.array([image.image_id for image in images], dtype=np.int64),
        counts=np.array([len(image) for image in images], dtype=np.int64),
        invalid=np.array([image.invalid for image in images], dtype=np.int64),
        boxes=np.concatenate([image.boxes for image in images]),
        scores=np.concatenate([image.scores for image in images]),
        labels=np.concatenate([image.labels for image in images]).astype(np.int32),
    )
    if images[0].masks is not None:
        masks = [mask for image in images for mask in image.masks]
        packed |= dict(
            mask_sizes=np.array([mask['size'] for mask in masks], np.int32).reshape(-1, 2),
            mask_lengths=np.array([len(mask['counts']) for mask in masks], dtype=np.int64),
            mask_bytes=np.frombuffer(b''.join(mask['counts'] for mask in masks), dtype=np.uint8),
        )
    return packed


def _unpack(packed: dict[str, np.ndarray]) -> Iterator[ImageDetections]:
    ends = np.cumsum(packed['counts'])
    masks = None
    if 'mask_bytes' in packed:
        mask_ends = np.cumsum(packed['mask_lengths'])
        data = packed['mask_bytes'].tobytes()
        masks = [
            dict(size=size, counts=data[end - length : end])
            for size, length, end in zip(
                packed['mask_sizes'].tolist(), packed['mask_lengths'], mask_ends, strict=True
            )
        ]
    rows = zip(packed['image_ids'], packed['counts'], packed['invalid'], ends, strict=True)
    for image_id, count, invalid, end in rows:
        part = slice(end - count, end)
        yield ImageDetections(
            image_id=int(image_id),
            boxes=packed['boxes'][part],
            scores=packed['scores'][part],
            labels=packed['labels'][part],
            masks=None if masks is None else masks[part],
            invalid=int(invalid),
        )
