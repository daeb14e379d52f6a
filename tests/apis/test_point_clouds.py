"""Naming clouds: a stand-in model whose scores are known, the drawn views, the command."""

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.model import BaseModel

from mmclip.apis import classify_cloud
from mmclip.apis.point_clouds import (
    list_clouds,
    load_cloud_model,
    prepare_cloud,
    view_probabilities,
)
from mmclip.cli import predict
from mmclip.registry import MODELS
from mmclip.visualization.point_views import near_is_bright


class TwoViews(torch.nn.Module):
    """Depth maps of 4 x 4 pixels: view 1 holds the height of the cloud, view 2 its width."""

    def depth_maps(self, points):
        sizes = points.amax(1) - points.amin(1)  # (B, 3)
        maps = torch.zeros(len(points), 2, 4, 4)
        maps[:, 0, 1, 1], maps[:, 1, 2, 2] = sizes[:, 1], sizes[:, 0]
        return maps

    def forward(self, points):
        return self.depth_maps(points)[:, :, None].expand(-1, -1, 3, -1, -1)


@MODELS.register_module(force=True)
class HighOrWide(BaseModel):
    """Says 'high' by the height (view 1) and 'wide' by the width (view 2)."""

    def __init__(self, projector=None, classes=('high', 'wide')):
        super().__init__()
        self.projector = TwoViews()
        self.gain = torch.nn.Parameter(torch.tensor(1.0))
        self.class_names = tuple(classes)
        self.calls = []

    def set_classes(self, names, prompts=None, examples=None):
        self.class_names = tuple(names)
        self.calls.append((self.class_names, prompts, examples))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.predict(inputs, data_samples)

    def predict(self, inputs, data_samples):
        for cloud, sample in zip(inputs, data_samples, strict=True):
            sizes = self.projector.depth_maps(cloud[None]).amax((2, 3))[0]
            logits = torch.zeros(2, len(self.class_names))
            logits[0, 0], logits[1, 1] = sizes[0], sizes[1]
            sample.view_scores = self.gain * logits
            sample.pred_scores = sample.view_scores.sum(0).softmax(0)
            sample.pred_label = sample.pred_scores.argmax()
        return data_samples


POLE = np.array([[0, 0, 0], [0, 1000, 0], [0, 500, 0.0]])  # millimeters, y up


def test_result_and_drawing(tmp_path):
    model = HighOrWide().eval()
    result = classify_cloud(model, POLE, top_k=1, out_file=tmp_path / 'out.png')
    # In the unit sphere the pole is 2 high: soft-max of (2, 0).
    high = float(np.exp(2) / (np.exp(2) + 1))
    assert result.names == ('high',) and result.scores == pytest.approx((high,))
    np.testing.assert_allclose(result.view_scores, [[high, 1 - high], [0.5, 0.5]], atol=1e-6)
    assert result.view_names == ('high', 'high')
    assert result.depth_maps.shape == (2, 4, 4) and result.depth_maps[0, 1, 1] == 2
    assert result.views.dtype == np.uint8 and result.views[0, 1, 1] == 255
    drawn = cv2.imread(str(tmp_path / 'out.png'))
    assert drawn.shape == result.draw().shape
    np.testing.assert_array_equal(drawn[:, :, ::-1], result.draw())
    assert (drawn == 255).all(-1).any() and (drawn == 24).all(-1).any()
    assert model.calls == []


def test_the_axis_and_the_words_reach_the_model():
    model = HighOrWide().eval()
    turned = classify_cloud(model, torch.tensor(POLE), up='x', classes=['a', 'b'], prompts='single')
    assert turned.names[0] == 'b'  # lies when x is up
    assert model.calls == [(('a', 'b'), 'single', None)]
    classify_cloud(model, POLE, examples={'c': 'c.png', 'd': 'd.png'})
    assert model.calls[1][0] == ('c', 'd')
    assert not hasattr(model, 'store_view_scores') or model.store_view_scores


def test_view_scores_are_asked_for_and_the_setting_is_put_back():
    model = HighOrWide().eval()
    model.store_view_scores = False
    classify_cloud(model, POLE)
    assert model.store_view_scores is False


def test_preparation(tmp_path):
    np.save(tmp_path / 'a.npy', POLE[:, [0, 2, 1]])  # z up
    prepared = prepare_cloud(tmp_path / 'a.npy', up='z')
    np.testing.assert_allclose(prepared, [[0, -1, 0], [0, 1, 0], [0, 0, 0]], atol=1e-6)
    raw = prepare_cloud(POLE, normalize=False)
    assert raw.dtype == np.float32 and raw.max() == 1000
    for bad, message in (
        (dict(cloud=POLE[:1]), 'cloud holds one point'),
        (dict(cloud=POLE, up='w'), "up: 'w'"),
        (dict(cloud=POLE + np.inf), 'cloud: .* NaN or infinite'),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_cloud(**bad)
    with pytest.raises(ValueError, match='top_k: 0'):
        classify_cloud(HighOrWide(), POLE, top_k=0)


def test_probabilities_of_views():
    probabilities = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert view_probabilities(probabilities) is probabilities
    logits = np.log(probabilities[:1]) + 1000
    np.testing.assert_allclose(view_probabilities(logits), probabilities[:1])


def test_near_is_bright():
    maps = np.zeros((3, 1, 4), np.float32)
    maps[0, 0] = [1, 3, 2, 0]
    maps[1, 0, 0] = 5
    # 1 - 0.6 (z - 1) / 2: 1, 0.4 and 0.7, empty 0; one point is the nearest; an empty map is black.
    expected = [[255, 102, 178, 0], [255, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(near_is_bright(maps)[:, 0], expected, atol=1)


def test_lists_of_files(tmp_path):
    for name in ('b.ply', 'a.npy', 'notes.md'):
        (tmp_path / name).write_text('x')
    assert [path.name for path in list_clouds(tmp_path)] == ['a.npy', 'b.ply']
    with pytest.raises(FileNotFoundError, match='gone.ply'):
        list_clouds([tmp_path / 'gone.ply'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no cloud'):
        list_clouds(tmp_path / 'empty')
    with pytest.raises(ValueError, match='inputs is empty'):
        list_clouds([])


def test_configs(tmp_path):
    config = Config(dict(default_scope='mmengine', model=dict(type='mmclip.HighOrWide')))
    with pytest.raises(ValueError, match='mmclip.HighOrWide has no projector'):
        load_cloud_model(config)
    config.model.update(projector=dict(type='mmclip.PerspectiveDepthProjector'), classes=())
    config.test_dataloader = dict(dataset=dict(type='mmclip.ModelNetH5', version=10))
    model = load_cloud_model(config, 'none', 'cpu')  # the names of its data
    assert len(model.class_names) == 10 and not model.training
    assert classify_cloud(config, POLE, device='cpu').names[0] == 'bathtub'
    config.pop('test_dataloader')
    with pytest.raises(ValueError, match='classes: the model has none'):
        classify_cloud(config, POLE, device='cpu')
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        load_cloud_model(config, tmp_path / 'gone.pth', 'cpu')


def test_command(tmp_path, capsys):
    config = tmp_path / 'model.py'
    config.write_text(
        "default_scope = 'mmengine'\n"
        "model = dict(type='mmclip.HighOrWide', projector=dict(type='mmclip.X'))\n"
    )
    for name in ('a', 'b'):
        np.save(tmp_path / f'{name}.npy', POLE[:, [0, 2, 1]])
    out = tmp_path / 'out'
    predict.main(
        [str(tmp_path / 'a.npy'), str(tmp_path / 'b.npy'), str(config), 'none', '--classes']
        + ['tall, broad', '--up', 'z', '--out-dir', str(out), '--montage', str(out / 'all.png')]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'{out}/a.png: tall 88 %, broad 12 %'
    assert lines[1].startswith(f'{out}/b.png: tall 88 %') and lines[2].startswith(f'{out}/all.png')
    assert {path.name for path in out.iterdir()} == {'a.png', 'b.png', 'all.png'}
    with pytest.raises(ValueError, match='--groups'):
        predict.main([str(tmp_path / 'a.npy'), str(config), 'none', '--groups'])
