"""Finding and reading the images that a user names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmclip.io.image import check_regular_file, decode_image

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

ImageInput = str | Path | np.ndarray


def list_images(inputs: ImageInput | Sequence[ImageInput]) -> list[Path | np.ndarray]:
    """Files and arrays in order; a folder stands for the images in it, sorted by name.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If there is no image at all, or an entry is neither a path nor an array, or a
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
                f'inputs holds {entry!r}, a {type(entry).__name__}; an image is a path or an array'
            )
        path = Path(entry)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f'the folder {str(path)!r} holds no image ({" ".join(SUFFIXES)})')
            found += inside
        else:
            found.append(path)
    for path in found:
        if isinstance(path, Path):
            check_regular_file(path, f'image {str(path)!r}')
    if not found:
        raise ValueError('inputs is empty: give an image, a folder, or a list of them')
    return found


def read_image(image: Path | np.ndarray) -> np.ndarray:
    """BGR, uint8, (H, W, 3), as mmcv and OpenCV read an image.

    Raises:
        ValueError: If a file cannot be decoded or is too large (it is named), or an array is not a
            image.
    """
    if isinstance(image, np.ndarray):
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise ValueError(
                f'an array of shape {image.shape} and type {image.dtype} is not an image; '
                'expected uint8 of shape (height, width, 3) in BGR order, or (height, width)'
            )
        return image
    return decode_image(image, name=repr(str(image)))


def output_names(images: Sequence[Path | np.ndarray], out_dir: Path) -> list[Path]:
    """Distinct PNG files in ``out_dir``, named after the images; arrays are numbered.

    Raises:
        ValueError: If a file would be written over an image that is read.
    """
    names: list[Path] = []
    for index, image in enumerate(images):
        stem = image.stem if isinstance(image, Path) else f'{index:05d}'
        name, count = out_dir / f'{stem}.png', 1
        while name in names:
            count += 1
            name = out_dir / f'{stem}_{count}.png'
        names.append(name)
    read = {image.resolve() for image in images if isinstance(image, Path)}
    for name in names:
        if name.resolve() in read:
            raise ValueError(
                f'out_dir={str(out_dir)!r} would overwrite the image {str(name)!r}; take another'
            )
    return names
