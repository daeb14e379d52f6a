"""Classes given by point clouds, with a projector and a tower whose results are known."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.vocabulary.exemplars import encode_examples
from mmclip.vocabulary.point_exemplars import encode_clouds, read_cloud, use_projector

CLOUD = '0 0 0\n2 0 0\n2 0 0\n0 0 0\n'  # in the unit sphere: -1 and 1 along x


class Spread(torch.nn.Module):
    """Two views: the largest x, y and z of the cloud, and twice of that of y."""

    def forward(self, points):
        top = points.amax(1)  # (B, 3)
        views = torch.stack([top, top[:, [1, 1, 1]] * 2], 1)
        return views[..., None, None].expand(-1, -1, -1, 4, 4)


class Tower:
    """Embeds an image by the normalized mean of its channels."""

    point_projector = Spread()

    def encode_pixels(self, pixels):
        return torch.nn.functional.normalize(pixels.mean((2, 3)) + 1e-9, dim=-1)


def test_a_class_is_the_mean_of_its_views(tmp_path):
    (tmp_path / 'mug.xyz').write_text(CLOUD)
    # View 1: (1, 0, 0); view 2: nothing, so all three channels alike.
    expected = torch.tensor([1 + 3**-0.5, 3**-0.5, 3**-0.5])
    rows, with_words = encode_examples(Tower(), ['mug', 'cone'], {'mug': str(tmp_path / 'mug.xyz')})
    torch.testing.assert_close(rows['mug'], expected / expected.norm())
    assert set(rows) == {'mug'} and not with_words


def test_json_with_an_axis_and_words(tmp_path):
    (tmp_path / 'mug.xyz').write_text(CLOUD)
    entry = dict(images=['mug.xyz'], with_words=True, up='x')
    (tmp_path / 'examples.json').write_text(json.dumps({'mug': entry}))
    rows, with_words = encode_examples(Tower(), ['mug'], tmp_path / 'examples.json')
    # y is 1: (0, 1, 0) and three channels alike.
    expected = torch.tensor([3**-0.5, 1 + 3**-0.5, 3**-0.5])
    torch.testing.assert_close(rows['mug'], expected / expected.norm(), atol=1e-4, rtol=0)
    assert with_words == {'mug'}


def test_arrays_in_any_unit():
    cloud = np.array([[5000.0, 0, 0], [7000.0, 0, 0]])
    read = read_cloud(cloud, None, 'mug')
    np.testing.assert_allclose(read, [[-1, 0, 0], [1, 0, 0]])
    assert read.dtype == np.float32
    with pytest.raises(ValueError, match="examples: class 'mug': up: 'up'"):
        read_cloud(cloud, None, 'mug', 'up')


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="examples: the point cloud .*mug.ply of class 'mug'"
    ):
        encode_examples(Tower(), ['mug'], {'mug': str(tmp_path / 'mug.ply')})
    with pytest.raises(ValueError, match="the point cloud of class 'mug': 1 of 2 points are NaN"):
        encode_examples(Tower(), ['mug'], {'mug': np.array([[0, 0, 0], [0, 0, np.nan]])})
    two = np.eye(3)
    with pytest.raises(ValueError, match='object cannot encode the depth maps'):
        encode_examples(object(), ['mug'], {'mug': two})
    with pytest.raises(ValueError, match='object has no image tower'):
        encode_examples(object(), ['mug'], {'mug': np.zeros((4, 4, 3), np.uint8)})


def test_pixels_and_images_go_through_one_tower():
    encoder = CLIPTextEncoder(model='mini_clip', pretrained='mini_clip')
    assert encoder.image_size == 48
    image = np.random.RandomState(0).randint(256, size=(48, 48, 3)).astype(np.uint8)
    image = Image.fromarray(image)
    rows = encoder.encode_pixels(encoder.image_transform()(image)[None])
    torch.testing.assert_close(rows, encoder.encode_images([image]))


def test_a_models_projector_is_used_and_stays_its_own():
    encoder = CLIPTextEncoder(model='mini_clip', pretrained='mini_clip')
    before = set(encoder.state_dict())

    class Flat(torch.nn.Module):
        """Two gray views whose value is the number of points."""

        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(0.1))

        def forward(self, points):
            return (self.gain * points.shape[1]).expand(len(points), 2, 3, 48, 48)

    use_projector(encoder, Flat())
    assert set(encoder.state_dict()) == before and not list(encoder.named_parameters())
    rows = encode_clouds(encoder, [np.zeros((3, 3), np.float32), np.zeros((7, 3), np.float32)])
    for row, value in zip(rows, (0.3, 0.7), strict=True):
        gray = torch.full((1, 3, 48, 48), value)
        torch.testing.assert_close(row, encoder.encode_pixels(gray)[0], atol=1e-5, rtol=0)
