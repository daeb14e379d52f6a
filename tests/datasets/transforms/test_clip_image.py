"""CLIP's transform on images of every mode (the official numbers are in tests/parity)."""

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from PIL import Image

from mmclip.datasets.transforms.clip_image import CLIPResizeCrop, LoadPILImage, PackCLIPInputs

MODES = ('RGB', 'RGBA', 'L', 'LA', 'P', '1', 'CMYK')


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [(37, 53), (58, 31), (20, 20), (13, 17), (1, 300)])
def test_as_torchvision(mode, size):
    image = noise(mode, size)
    bicubic = T.InterpolationMode.BICUBIC
    official = T.Compose([T.Resize(20, bicubic), T.CenterCrop(20), lambda p: p.convert('RGB')])
    out = CLIPResizeCrop(size=20)(dict(img=image))
    assert out['img'].shape == (20, 20, 3) and out['img_shape'] == (20, 20)
    assert (out['img'] == np.asarray(official(image))).all()


def test_squash_keeps_the_borders():
    image = Image.new('RGB', (40, 10), 'white')
    image.paste('black', (0, 0, 10, 10))
    cropped = CLIPResizeCrop(size=10)(dict(img=image))['img']
    squashed = CLIPResizeCrop(size=10, resize_mode='squash')(dict(img=image))['img']
    assert cropped.min() == 255 and squashed[:, 0].max() == 0


def test_rgb_arrays_are_taken():
    pixels = np.asarray(noise('RGB', (12, 12)))
    assert (CLIPResizeCrop(size=12)(dict(img=pixels))['img'] == pixels).all()


@pytest.mark.parametrize('mode', ['P', 'LA', 'L'])
def test_files_keep_their_mode(mode, tmp_path):
    path = tmp_path / 'x.png'
    noise(mode, (9, 7)).save(path)
    results = LoadPILImage()(dict(img_path=str(path)))
    assert results['img'].mode == mode and results['ori_shape'] == (7, 9)


def test_packing():
    results = dict(img=np.zeros((4, 6, 3), np.uint8), gt_label=3, split='base', other=1)
    packed = PackCLIPInputs()(results)
    assert packed['inputs'].shape == (3, 4, 6)
    sample = packed['data_samples']
    assert sample.gt_label.dtype == torch.int64 and int(sample.gt_label) == 3
    assert sample.metainfo == dict(split='base')
    assert 'gt_label' not in PackCLIPInputs()(dict(img=results['img']))['data_samples']


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match='size'):
        CLIPResizeCrop(size=0)
    with pytest.raises(ValueError, match='squash'):
        CLIPResizeCrop(size=4, resize_mode='longest')
    with pytest.raises(ValueError, match='float64'):
        CLIPResizeCrop(size=4)(dict(img=np.zeros((4, 4, 3))))
    with pytest.raises(ValueError, match='LoadPILImage'):
        CLIPResizeCrop(size=4)(dict(img='x.png'))
    with pytest.raises(FileNotFoundError):
        LoadPILImage()(dict(img_path=str(tmp_path / 'gone.png')))
