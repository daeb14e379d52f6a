"""The one reader of images: formats, limits, modes, orientation, and who else may decode."""

import ast
import io
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from mmclip.apis.images import list_images, read_image
from mmclip.datasets.bad_images import image_problem
from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.transforms.clip_image import CLIPResizeCrop, LoadPILImage
from mmclip.datasets.transforms.segmentation import read_mask
from mmclip.io import image as image_module
from mmclip.io.image import decode_image, open_image, open_unchanged, standard_image
from mmclip.vocabulary.exemplars import _read as read_example

ROOT = Path(__file__).resolve().parents[2]
EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n'
VALUES = np.array([[0, 127, 255, 256, 0x7FFF, 0x80FF, 0xFEFF, 0xFFFF]], np.uint16).repeat(8, 0)

READERS = {
    'open_image': open_image,
    'LoadPILImage': lambda path: LoadPILImage()(dict(img_path=str(path)))['img'],
    'example': lambda path: read_example(path.name, path.parent, 'cat'),
    'shard': lambda path: shard_sample(path.read_bytes())['img'],
    'decode_image': decode_image,
    'read_image': read_image,
    'read_mask': lambda path: read_mask(str(path)),
    'brightness': lambda path: read_mask(str(path), brightness=True),
}
NOT_FROM_BYTES = sorted(READERS.keys() - {'shard'})


def shard_sample(data: bytes) -> dict:
    reader = CaptionShards.__new__(CaptionShards)
    reader.image_keys, reader.text_key = ('jpg',), 'txt'
    return reader._decode(dict(jpg=data, txt=b'words', __url__='a.tar', __key__='0'))


def gray(image) -> np.ndarray:
    """(H, W) of whatever a reader gives for a gray image."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert('RGB'))
    return image if image.ndim == 2 else image[:, :, 0]


def png_header(width: int, height: int) -> bytes:
    """A small file that claims a size."""
    small = io.BytesIO()
    Image.new('RGB', (1, 1)).save(small, 'png')
    data = bytearray(small.getvalue())
    data[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    return bytes(data)


@pytest.mark.parametrize('reader', READERS)
def test_no_image_starts_a_program(reader, tmp_path, monkeypatch):
    program, marker, path = tmp_path / 'gs', tmp_path / 'started', tmp_path / 'x.jpg'
    program.write_text(f'#!/bin/sh\ntouch {marker}\n')
    program.chmod(0o755)
    path.write_bytes(EPS)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(EpsImagePlugin, 'gs_binary', None)  # not looked for yet
    with pytest.raises(ValueError, match=r'(x\.jpg|a\.tar/0\.jpg).* is not a readable image'):
        READERS[reader](path)
    assert not marker.exists()
    with Image.open(path) as opened, pytest.raises(Exception):  # noqa: B017 (gs made nothing)
        opened.load()
    assert marker.exists()  # so this would have been seen


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('kept', [0, 20, 60, -60])
def test_what_is_cut_off_or_no_image_is_named(reader, kept, tmp_path):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(noise).save(stream, 'png')
    path = tmp_path / 'x.jpg'
    path.write_bytes(stream.getvalue()[:kept])
    with pytest.raises(ValueError, match=r'(x\.jpg|a\.tar/0\.jpg).* is not a readable image'):
        READERS[reader](path)


@pytest.mark.parametrize('reader', READERS)
def test_too_many_pixels_are_refused_by_the_header(reader, tmp_path, monkeypatch):
    path = tmp_path / 'x.jpg'
    path.write_bytes(png_header(32000, 32000))
    with pytest.raises(ValueError, match=r'(x\.jpg|0\.jpg).* is too large .*178956970 pixels'):
        READERS[reader](path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)  # a host's or user's wish
    with pytest.raises(ValueError, match='too large .32000 x 32000 pixels.* cut it into tiles'):
        READERS[reader](path)
    monkeypatch.setattr(image_module, 'MAX_PIXELS', 63)
    Image.new('L', (8, 8)).save(path, 'png')
    with pytest.raises(ValueError, match='8 x 8 pixels'):
        READERS[reader](path)
    monkeypatch.setattr(image_module, 'MAX_PIXELS', 64)
    assert gray(READERS[reader](path)).shape == (8, 8)


@pytest.mark.parametrize('reader', NOT_FROM_BYTES)
def test_only_regular_files_are_read(reader, tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'device.png').symlink_to('/dev/zero')
    (tmp_path / 'folder.png').mkdir()
    for name in ('pipe', 'device', 'folder'):
        with pytest.raises(ValueError, match=rf'{name}\.png.* is no regular file'):
            READERS[reader](tmp_path / f'{name}.png')
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        READERS[reader](tmp_path / 'gone.png')
    Image.new('L', (3, 2)).save(tmp_path / 'whole.png')
    (tmp_path / 'link.png').symlink_to(tmp_path / 'whole.png')
    assert gray(READERS[reader](tmp_path / 'link.png')).shape == (2, 3)


def test_pipes_in_a_folder_are_named_before_anything_is_read(tmp_path):
    Image.new('L', (3, 2)).save(tmp_path / 'a.png')
    os.mkfifo(tmp_path / 'f.png')
    for inputs in (tmp_path, [tmp_path / 'a.png', tmp_path / 'f.png']):
        with pytest.raises(ValueError, match=r'f\.png.* is no regular file'):
            list_images(inputs)


@pytest.mark.parametrize('reader', sorted(READERS.keys() - {'read_mask'}))
@pytest.mark.parametrize(
    ('format', 'mode'), [('png', 'I;16'), ('tiff', 'I;16'), ('tiff', 'I;16B'), ('ppm', 'I')]
)
def test_16_bits_keep_their_high_byte(reader, format, mode, tmp_path):
    image = Image.fromarray(VALUES.astype(np.int32) if mode == 'I' else VALUES)
    if mode == 'I;16B':
        image = Image.frombytes('I;16B', VALUES.shape[::-1], VALUES.astype('>u2').tobytes())
    image.save(tmp_path / 'x.png', format)
    assert Image.open(tmp_path / 'x.png').mode == mode
    pixels = gray(READERS[reader](tmp_path / 'x.png'))
    assert pixels[0].tolist() == [0, 0, 0, 1, 127, 128, 254, 255]


def test_masks_keep_their_exact_indices(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / 'ids.png')
    assert (read_mask(str(tmp_path / 'ids.png')) == VALUES).all()
    palette = Image.fromarray(np.array([[0, 3], [200, 255]], np.uint8)).convert('P')
    palette.putdata([0, 3, 200, 255])
    palette.putpalette([7] * 768)
    exif = Image.Exif()
    exif[image_module.ORIENTATION] = 6
    palette.save(tmp_path / 'palette.png', exif=exif)
    assert open_unchanged(tmp_path / 'palette.png').mode == 'P'
    assert read_mask(str(tmp_path / 'palette.png')).tolist() == [[0, 3], [200, 255]]
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / 'float.tiff')
    with pytest.raises(ValueError, match=r'seg_map_path: .*float\.tiff is an image of mode F'):
        read_mask(str(tmp_path / 'float.tiff'))


@pytest.mark.parametrize('values', [np.float32([[0, 1]]), np.int32([[-1, 3]]), np.int32([[65536]])])
def test_32_bits_have_no_brightness(values, tmp_path):
    Image.fromarray(values).save(tmp_path / 'x.tiff')
    for reader in ('open_image', 'LoadPILImage', 'example', 'decode_image'):
        with pytest.raises(ValueError, match=r'x\.tiff'):
            READERS[reader](tmp_path / 'x.tiff')


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'PA', 'P', 'CMYK', '1', 'L'])
def test_other_modes_are_kept_and_alpha_is_dropped(mode):
    whole = Image.new('RGBA', (4, 4), (200, 100, 50, 0))
    image = standard_image(whole.convert(mode), name='x')
    assert image.mode == mode
    expected = {'RGBA': (200, 100, 50), 'CMYK': (200, 100, 50), '1': (0, 0, 0)}
    if mode in expected:
        assert image.convert('RGB').getpixel((1, 1)) == expected[mode]


@pytest.mark.parametrize('orientation', [*range(1, 9), 300])
@pytest.mark.parametrize('format', ['png', 'jpeg', 'webp', 'tiff'])
def test_images_stand_upright_as_opencv_has_them(orientation, format, tmp_path):
    path, exif = tmp_path / 'x.png', Image.Exif()
    exif[image_module.ORIENTATION] = orientation
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :4], pixels[4:, :4] = 255, 120
    lossless = dict(lossless=True) if format == 'webp' else {}
    Image.fromarray(pixels).save(path, format, exif=exif, **lossless)
    expected = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    for reader in ('open_image', 'LoadPILImage', 'shard', 'example', 'read_image'):
        found = READERS[reader](path)
        found = np.asarray(found.convert('RGB')) if isinstance(found, Image.Image) else found
        order = -1 if reader == 'read_image' else 1
        assert found.shape == expected.shape
        assert np.abs(found[:, :, ::order].astype(int) - expected).max() <= 3
    with Image.open(path) as opened:  # a user's own, not yet turned
        once = standard_image(opened, name='x')
    assert np.asarray(once).shape == expected.shape
    assert np.array_equal(standard_image(once, name='x'), once)


def test_the_official_clip_knows_no_orientation(tmp_path):
    exif = Image.Exif()
    exif[image_module.ORIENTATION] = 6
    Image.new('RGB', (6, 4)).save(tmp_path / 'x.jpg', exif=exif)
    info = dict(img_path=str(tmp_path / 'x.jpg'))
    assert LoadPILImage()(dict(info))['ori_shape'] == (6, 4)
    assert LoadPILImage(ignore_orientation=True)(dict(info))['ori_shape'] == (4, 6)


def test_damaged_exif_does_not_spoil_an_image(tmp_path):
    Image.new('RGB', (6, 4)).save(tmp_path / 'x.jpg', exif=b'Exif\0\0MM\0*\xff\xff\xff\xff')
    assert open_image(tmp_path / 'x.jpg').size == (6, 4)


def test_a_stream_of_frames_gives_the_first(tmp_path):
    frames = [Image.new('RGB', (4, 4), color) for color in ('red', 'blue')]
    for name in ('x.gif', 'x.webp', 'x.tiff'):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        pixel = open_image(tmp_path / name).convert('RGB').getpixel((0, 0))
        assert pixel[0] > 240 and max(pixel[1:]) < 15
    with open(tmp_path / 'x.gif', 'rb') as stream:
        assert open_image(stream, name='a stream').size == (4, 4)


def test_arrays_as_examples_are_checked():
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="examples: class 'cat' has an array of shape"):
            read_example(wrong, Path(), 'cat')
    ramp = read_example(Image.fromarray(VALUES), Path(), 'cat')
    assert np.asarray(ramp)[0].tolist() == [0, 0, 0, 1, 127, 128, 254, 255]
    white = CLIPResizeCrop(size=8)(dict(img=ramp))['img']
    assert white[0, 0].tolist() == [0, 0, 0]


def test_a_bad_image_of_a_data_set_is_named(tmp_path):
    path = tmp_path / 'x.png'
    path.write_bytes(png_header(32000, 32000))
    assert 'x.png' in str(image_problem(str(path))) and 'too large' in str(image_problem(str(path)))


def test_nobody_else_decodes_images():
    forbidden = {
        ('Image', 'open'),
        ('cv2', 'imread'),
        ('cv2', 'imdecode'),
        ('mmcv', 'imread'),
        ('mmcv', 'imfrombytes'),
        ('wds', 'tarfile_to_samples'),
    }
    for path in sorted([*(ROOT / 'mmclip').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]):
        if path == Path(image_module.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = node.value.id, node.attr
                assert called not in forbidden, f'{path}:{node.lineno}: use mmclip.io'
