"""Finding and reading the pictures that a user names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmclip.io.image import check_regular_file, decode_image

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

Picture = str | Path | np.ndarray


def list_pictures(inputs: Picture | Sequence[Picture]) -> list[Path | np.ndarray]:
    """Files and arrays in order; a folder stands for the pictures in it, sorted by name.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If there is no picture at all, or an entry is neither a path nor an array, or a
            path leads to a pipe or a device.
    """
    if isinstance(inputs, str | Path | np.ndarray):
        inputs = [inputs]
    found: list[Path | np.ndarray] = []
    for entry in inputs:
        if isinstance(entry, np.ndarray):
            found.append(entry)
            continue
        if not isinstance(entry, str | Path):
            raise ValueError(
                f'inputs holds {entry!r}, a {type(entry).__name__}; a picture is a path or an array'
            )
        path = Path(entry)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(
                    f'the folder {str(path)!r} holds no picture ({" ".join(SUFFIXES)})'
                )
            found += inside
        else:
            found.append(path)
    for path in found:
        if isinstance(path, Path):
            check_regular_file(path, f'picture {str(path)!r}')
    if not found:
        raise ValueError('inputs is empty: give a picture, a folder, or a list of them')
    return found


def read_picture(picture: Path | np.ndarray) -> np.ndarray:
    """BGR, uint8, (H, W, 3), as mmcv and OpenCV read a picture.

    Raises:
        ValueError: If a file cannot be decoded or is too large (it is named), or an array is not a
            picture.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim == 2:
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or not picture.size:
            raise ValueError(
                f'an array of shape {picture.shape} and type {picture.dtype} is not a picture; '
                'expected uint8 of shape (height, width, 3) in BGR order, or (height, width)'
            )
        return picture
    return decode_image(picture, name=repr(str(picture)))


def output_names(pictures: Sequence[Path | np.ndarray], out_dir: Path) -> list[Path]:
    """Distinct PNG files in ``out_dir``, named after the pictures; arrays are numbered.

    Raises:
        ValueError: If a file would be written over a picture that is read.
    """
    names: list[Path] = []
    for index, picture in enumerate(pictures):
        stem = picture.stem if isinstance(picture, Path) else f'{index:05d}'
        name, count = out_dir / f'{stem}.png', 1
        while name in names:
            count += 1
            name = out_dir / f'{stem}_{count}.png'
        names.append(name)
    read = {picture.resolve() for picture in pictures if isinstance(picture, Path)}
    for name in names:
        if name.resolve() in read:
            raise ValueError(
                f'out_dir={str(out_dir)!r} would overwrite the picture {str(name)!r}; take another'
            )
    return names
