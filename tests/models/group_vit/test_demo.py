"""The official demo's case: one image, any words, a threshold, images out."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData

from mmclip import config_path
from mmclip.cli import predict
from mmclip.io.checkpoint import write_state_dict
from mmclip.registry import MODELS
from mmclip.visualization.group_maps import draw_groups, group_names

LEAF = 'group_vit/mini/group_vit_one_stage_mini.py'


@pytest.fixture(scope='module')
def demo():
    return predict


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp('demo')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config_path(LEAF)).model)
    write_state_dict(model.state_dict(), folder / 'weights.safetensors')
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'p.png'), image)
    return str(folder / 'p.png'), str(folder / 'weights.safetensors')


def test_a_image_comes_out_with_its_groups(demo, files, tmp_path, capsys):
    image, weights = files
    words = ['--classes', 'background, big cat, sofa', '--bg-thresh', '1', '--groups']
    demo.main([image, LEAF, weights, '--out-dir', str(tmp_path), '--device', 'cpu', *words])
    said = capsys.readouterr().out
    assert 'background' in said and '_groups.png: its groups' in said
    assert {p.name for p in tmp_path.iterdir()} == {'p.png', 'p_groups.png'}
    assert cv2.imread(str(tmp_path / 'p_groups.png')).shape[1] == 540  # 90 pixels, enlarged

    threshold_of_0 = [*words[:2], '--bg-thresh', '0']
    demo.main([image, LEAF, weights, '--out-dir', str(tmp_path), *threshold_of_0])
    assert 'background' not in capsys.readouterr().out


def test_one_word_and_images_of_two_sizes(demo, files, tmp_path, capsys):
    image, weights = files
    other = tmp_path / 'other.png'
    cv2.imwrite(str(other), np.zeros((64, 64, 3), np.uint8))
    words = tmp_path / 'words.txt'
    words.write_text('big cat\n')
    arguments = [image, str(other), LEAF, weights, '--out-dir', str(tmp_path / 'out'), '--groups']
    demo.main([*arguments, '--classes', str(words), '--batch-size', '2'])
    assert capsys.readouterr().out.count('big cat 100 %') == 2
    assert len(list((tmp_path / 'out').iterdir())) == 4


def test_a_threshold_needs_the_word_of_the_background(demo, files, tmp_path):
    image, weights = files
    arguments = [image, LEAF, weights, '--out-dir', str(tmp_path), '--bg-thresh', '0.5']
    with pytest.raises(ValueError, match="--classes 'background, cat'"):
        demo.main([*arguments, '--classes', 'cat, sofa'])
    assert not list(tmp_path.iterdir())


def test_bad_options(demo, files, tmp_path):
    image, weights = files
    arguments = [image, LEAF, weights, '--out-dir', str(tmp_path)]
    with pytest.raises(ValueError, match='--bg-thresh 2'):
        demo.main([*arguments, '--bg-thresh', '2'])


def test_each_group_is_called_by_its_most_frequent_word():
    groups = np.array([[0, 0, 2], [2, 2, 2]])
    labels = np.array([[1, 1, 0], [0, 0, 1]])
    assert group_names(groups, labels, ['background', 'cat'])[::2] == ['0: cat', '2: background']


def test_a_sample_without_groups_says_what_makes_them(tmp_path):
    sample = BaseDataElement()
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, 4, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="mode='whole'"):
        draw_groups(np.zeros((4, 4, 3), np.uint8), sample, tmp_path / 'x.png')
