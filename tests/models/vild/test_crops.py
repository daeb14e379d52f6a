"""Teacher crops against DetPro's, and the averaging of their embeddings."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mmclip.models.vild import crops
from mmclip.models.vild.crops import CropRule


@pytest.fixture(scope='module')
def fixture(oracles):
    return load_file(oracles / 'vild' / 'crop_boxes.safetensors')


def test_windows_and_pixels_are_detpros(fixture):
    boxes = fixture['input/boxes_xyxy']
    wide = crops.scale_boxes(boxes, 1.5)
    torch.testing.assert_close(wide, fixture['output/boxes_1p5x'])
    assert torch.equal(crops.integer_boxes(boxes), fixture['output/int_boxes_1x'].long())
    assert torch.equal(crops.integer_boxes(wide), fixture['output/int_boxes_1p5x'].long())
    rule = CropRule(size=fixture['output/crops_1x'].shape[-1])
    image = fixture['input/image_chw_rgb'].permute(1, 2, 0).numpy()
    pixels = crops.normalize_crops(crops.region_crops(image, boxes, rule), rule)
    expected = torch.stack([fixture['output/crops_1x'], fixture['output/crops_1p5x']], 1)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=2e-3)


def test_the_border_is_black_or_cut():
    image = np.full((20, 20, 3), 200, dtype=np.uint8)
    box = torch.tensor([[10.0, 0, 20, 10]])
    sizes = dict(size=12, scales=(1.0,))
    padded = crops.region_crops(image, box, CropRule(**sizes))[0, 0]
    assert padded[:, 0].max() < 60 and padded[:, 6, 2:9].min() > 180
    cut = crops.region_crops(image, box, CropRule(border='cut', **sizes))
    assert cut.unique().tolist() == [200]


def test_warp_keeps_both_ends():
    image = np.zeros((10, 100, 3), dtype=np.uint8)
    image[:, 90:] = 255
    box = torch.tensor([[1.0, 1, 99, 9]])
    rule = dict(size=8, scales=(1.0,))
    assert crops.region_crops(image, box, CropRule(**rule)).max() == 0
    warped = crops.region_crops(image, box, CropRule(resize='warp', **rule))
    assert warped[0, 0, :, :, -1].min() > 150


def test_averages(oracles):
    data = load_file(oracles / 'vild' / 'crop_embedding_average.safetensors')
    pairs = torch.stack([data['input/embedding_1x'], data['input/embedding_1p5x']], 1)
    for ours, name in (('norm_sum_norm', 'norm_sum_norm'), ('raw_sum', 'raw_sum_then_norm')):
        expected = data[f'output/{name}']
        torch.testing.assert_close(crops.average_embeddings(pairs, ours), expected)


class Tower(nn.Module):
    """Stands for a CLIP: the mean color."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode_image(self, pixels):
        return pixels.mean((2, 3)) * self.scale


def test_encoding_does_not_depend_on_the_batch_size_and_takes_no_region():
    rule = CropRule(size=4)
    pixels = torch.randint(0, 256, (5, 2, 3, 4, 4), dtype=torch.uint8)
    a, b = (crops.encode_crops(Tower(), pixels, rule, batch_size=n) for n in (3, 100))
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a.norm(dim=1), torch.ones(5))
    assert crops.encode_crops(Tower(), pixels[:0], rule).shape == (0, 3)
    empty = crops.region_crops(np.zeros((4, 4, 3), np.uint8), torch.empty(0, 4), rule)
    assert empty.shape == (0, 2, 3, 4, 4)


def test_bad_input():
    with pytest.raises(ValueError, match=r'resize.*warp.*stretch'):
        CropRule(resize='stretch')
    with pytest.raises(ValueError, match='scales'):
        CropRule(scales=())
    image = np.zeros((20, 30, 3), np.uint8)
    outside = torch.tensor([[1.0, 1, 5, 5], [40, 2, 50, 9]])
    with pytest.raises(ValueError, match=r'\[40.0, 2.0, 50.0, 9.0\] \(number 1\).*30 x 20'):
        crops.region_crops(image, outside, CropRule())
    with pytest.raises(ValueError, match='nan'):
        crops.region_crops(image, torch.tensor([[1.0, 1, float('nan'), 5]]), CropRule())
