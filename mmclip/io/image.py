"""Image files: one reader with one list of formats, one limit and errors that name the file."""

import io
import os
import stat
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import mmcv
import numpy as np
from PIL import Image

# All are decoded inside this process. Pillow alone would also take EPS, for which it starts
# Ghostscript on whatever a file of any name holds.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'GIF', 'BMP', 'TIFF', 'PPM', 'AVIF')

# What Pillow refuses by default (twice Image.MAX_IMAGE_PIXELS): half a gigabyte as RGB.
MAX_PIXELS = 178_956_970

# Modes that have a defined conversion to RGB. It drops alpha, as OpenCV and CLIP's transform do.
MODES = {'1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr'}

ORIENTATION = 0x0112  # the tag of EXIF
EXIF = ('exif', 'xmp', 'XML:com.adobe.xmp', 'Raw profile type exif')  # where Pillow looks for it
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Source = str | os.PathLike | bytes | BinaryIO


def open_image(source: Source, *, name: str = '', orient: bool = True) -> Image.Image:
    """Open an image upright and with 8 bits per channel, in its own mode (see :data:`MODES`).

    Of several frames it is the first.

    Args:
        source: A path, the content of a file, or a stream.
        name: What errors begin with; by default the path.
        orient: Apply the EXIF orientation.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no regular file; no image of :data:`FORMATS`, or one that is damaged, cut off,
            of more than :data:`MAX_PIXELS` pixels, or of a mode without a defined brightness.
    """
    name = name or _name_of(source)
    return standard_image(open_unchanged(source, name=name), name=name, orient=orient)


def open_unchanged(source: Source, *, name: str = '') -> Image.Image:
    """Open an image whose values are no brightness, e.g. a map of class indices: as it is stored.

    Raises:
        FileNotFoundError, ValueError: as :func:`open_image`, for any mode.
    """
    return _open(source, name or _name_of(source))


def standard_image(image: Image.Image, *, name: str, orient: bool = True) -> Image.Image:
    """Turn an opened image upright and bring it to 8 bits per channel.

    16-bit values lose their low byte, as in OpenCV and in Pillow's own reading of RGB; Pillow's
    ``convert`` would make all of them above 255 white.

    Raises:
        ValueError: it is damaged or too large, has 32-bit values, or a mode that has no conversion
            to RGB.
    """
    _load(image, name)  # one that the caller has opened may not be read yet
    turn = _turn_of(image) if orient else None
    if image.mode.startswith('I'):
        values = np.asarray(image)
        if values.size and not 0 <= values.min() <= values.max() < 2**16:
            raise ValueError(f'{name} has 32-bit values; save it with 8 or 16 bits per channel')
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode not in MODES:
        raise ValueError(
            f'{name} is of mode {image.mode}; save it as RGB or gray with 8 or 16 bits per channel'
        )
    if turn is not None:
        image = image.transpose(turn)
        for key in EXIF:
            image.info.pop(key, None)  # or who opens it next would turn it again
    return image


def decode_image(
    source: str | os.PathLike | bytes, *, name: str = '', rgb: bool = False
) -> np.ndarray:
    """Decode an image as the hosts' pipelines do, by mmcv: (H, W, 3) uint8, BGR or RGB.

    Format and size are looked at before. What these pipelines train on is OpenCV's decoding, which
    differs from Pillow's in the last bit of a JPEG.

    Raises:
        FileNotFoundError, ValueError: as :func:`open_image`.
    """
    name = name or _name_of(source)
    if not isinstance(source, bytes):
        check_regular_file(source, name)
        source = Path(source).read_bytes()
    mode = _open(source, name, decode=False).mode
    try:
        # OpenCV has no floats as uint8 either; for some formats it gives another shape.
        image = None if mode == 'F' else mmcv.imfrombytes(source)
    except Exception as error:
        raise _unreadable(name, error) from error
    if image is None:
        raise _unreadable(name, f'OpenCV cannot decode mode {mode}')
    return np.ascontiguousarray(image[:, :, ::-1]) if rgb else image


def check_regular_file(path: str | os.PathLike, name: str = '') -> None:
    """Raise unless a path is a file or a link to one: reading a pipe or a device may never end.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: there is something else.
    """
    name = name or str(path)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f'{name} does not exist') from None
    if not stat.S_ISREG(mode):
        raise ValueError(f'{name} is no regular file but a folder, a pipe or a device')


def _open(source: Source, name: str, decode: bool = True) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        check_regular_file(source, name)
        with open(source, 'rb') as stream:
            return _open(stream, name, decode)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = Image.open(stream, formats=_formats())
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except Exception as error:  # there is no list of what damaged data makes the decoders raise
        raise _unreadable(name, error) from error
    if decode:
        _load(image, name)
    else:
        _check_pixels(image, name)
    return image


def _load(image: Image.Image, name: str) -> None:
    _check_pixels(image, name)
    try:
        image.load()
    except Exception as error:  # as above
        raise _unreadable(name, error) from error


def _check_pixels(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f'{image.width} x {image.height} pixels')


@cache
def _formats() -> tuple[str, ...]:
    """Those formats that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    if not any(key in image.info for key in EXIF):
        return (
            None  # as of most images in shards: Pillow's look costs as much as a tenth of decoding
        )
    try:
        return TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # damaged EXIF data beside a whole image
        return None


def _name_of(source: Any) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else 'the image'


def _too_large(name: str, pixels: str) -> ValueError:
    return ValueError(
        f'{name} is too large ({pixels}); at most {MAX_PIXELS} pixels are read: '
        'make it smaller or cut it into tiles'
    )


def _unreadable(name: str, problem: Exception | str) -> ValueError:
    if isinstance(problem, Exception):
        problem = f'{type(problem).__name__}: {problem}'
    return ValueError(
        f'{name} is not a readable image: cut off, damaged or none of {", ".join(FORMATS)} '
        f'({problem})'
    )
