"""Maps of words: what is painted, what the legend says, and the way there from an image."""

import cv2
import numpy as np
import torch
from mmengine import Config
from mmengine.registry import MODELS, init_default_scope

from mmclip import config_path
from mmclip.visualization.word_boxes import word_color
from mmclip.visualization.word_masks import paint, words_in

NAMES = ('other', 'cat', 'red car')


def test_words_by_their_share():
    labels = np.array([[2, 2, 0, 2], [1, 255, 2, 2]])
    assert words_in(labels, NAMES) == [(2, 5 / 8), (0, 1 / 8), (1, 1 / 8)]
    assert words_in(np.full((2, 2), 255), NAMES) == []


def test_words_are_painted_in_their_colors_and_the_background_is_not():
    image = np.full((60, 80, 3), 100, np.uint8)
    labels = np.zeros((60, 80), int)
    labels[10:30, 10:40] = 1
    drawn = paint(image, labels, NAMES)
    assert drawn.shape[1] == 80 and drawn.shape[0] > 60
    assert (drawn[:60][labels == 0] == 100).all()
    inside = (np.array(word_color(1)) + 100) / 2
    assert np.abs(drawn[20, 20] - inside).max() <= 1
    assert tuple(drawn[10, 20]) == word_color(1), 'the edge is opaque'
    assert (image == 100).all(), 'the image itself was changed'


def test_more_words_than_the_legend_holds():
    labels = np.arange(64 * 64).reshape(64, 64) % 300
    drawn = paint(np.zeros((64, 64, 3), np.uint8), labels, [f'word {i}' * 30 for i in range(300)])
    assert drawn.shape[1] == 64


def test_any_words_on_a_image_by_the_inferencer(tmp_path):
    from mmclip.apis import OpenVocabInferencer

    config = Config.fromfile(config_path('lseg/mini/lseg_r18_mini.py'))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((50, 70, 3), 90, np.uint8))
    segment = OpenVocabInferencer(config, tmp_path / 'model.pth')
    for words in (['other', 'red star'], ['blue ring', 'green house', 'other']):
        result = segment(str(tmp_path / 'a.png'), classes=words, out_dir=tmp_path / 'out')[0]
        assert result.pred_sem_seg.data.shape == (1, 50, 70)
        assert int(result.pred_sem_seg.data.max()) < len(words)
        assert result.label_names == tuple(words)
    drawn = cv2.imread(result.drawn)
    assert drawn.shape[1] == 7 * 70 and drawn.shape[0] > 7 * 50
