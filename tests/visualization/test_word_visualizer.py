"""Words on boxes: placed inside the image, beside each other, on the right pixels."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData, PixelData

from mmclip.visualization import WordVisualizer, montage
from mmclip.visualization.word_boxes import draw_word_boxes, place_labels, shorten, word_color

GRAY = np.full((128, 128, 3), 90, np.uint8)


def sample(boxes, labels, scores=None, **more):
    result = DetDataSample()
    result.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores if scores is not None else [0.9] * len(labels)),
        **more,
    )
    return result


@pytest.fixture
def visualizer():
    built = VISUALIZERS.build(dict(type='mmclip.WordVisualizer', name='test_words'))
    built.dataset_meta = dict(classes=('cat', 'dog'))
    return built


def test_colors_of_neighbors_differ_and_repeat_exactly():
    colors = np.array([word_color(label) for label in range(12)], dtype=float)
    gaps = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 1e3 * np.eye(12)
    assert gaps.min() > 20
    assert word_color(3) == tuple(colors[3].astype(int))


def test_labels_stay_inside_and_do_not_cover_each_other():
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.integers(0, 400, (4, 2))
        boxes = np.concatenate([corners, corners + rng.integers(20, 110, (4, 2))], axis=1)
        sizes = [(120, 20)] * 4
        places = np.array(place_labels(sizes, boxes.astype(float), (512, 512)))
        rectangles = np.concatenate([places, places + (120, 20)], axis=1)
        assert (rectangles >= 0).all() and (rectangles <= 512).all()
        for i in range(4):
            for j in range(i):
                low = np.maximum(rectangles[i, :2], rectangles[j, :2])
                high = np.minimum(rectangles[i, 2:], rectangles[j, 2:])
                covered = np.clip(high - low, 0, None).prod()
                assert covered < 0.25 * 120 * 20


def test_a_label_at_the_upper_border_goes_below_or_inside():
    ((x, y),) = place_labels([(60, 20)], np.array([[10.0, 2, 50, 40]]), (512, 512))
    assert y >= 0 and x == 9
    ((_, above),) = place_labels([(60, 20)], np.array([[10.0, 200, 50, 240]]), (512, 512))
    assert above == 181


def test_the_box_has_the_color_of_its_label():
    drawn = draw_word_boxes(GRAY, np.array([[20.0, 60, 80, 110]]), ['cat'], [(10, 200, 30)])
    assert drawn[85, 20].tolist() == [10, 200, 30] and drawn[109, 50].tolist() == [10, 200, 30]
    assert drawn[85, 50].tolist() == [90, 90, 90]
    assert (GRAY == 90).all(), 'the image itself is left alone'


def test_small_images_are_enlarged_with_boxes_and_masks(visualizer, tmp_path):
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[0, 70:100, 30:60] = True
    visualizer.add_datasample(
        'x',
        GRAY,
        sample([[20, 60, 80, 110]], [1], masks=masks),
        draw_gt=False,
        out_file=str(tmp_path / 'x.png'),
    )
    drawn = cv2.imread(str(tmp_path / 'x.png'))[:, :, ::-1]
    assert drawn.shape == (512, 512, 3)
    assert drawn[340, 80].tolist() == list(word_color(1))
    mixed = 0.55 * 90 + 0.45 * np.array(word_color(1))
    assert np.abs(drawn[360, 180] - mixed).max() <= 1
    assert drawn[260, 250].tolist() == [90, 90, 90]


def test_words_come_from_label_names_or_from_the_data_set(visualizer):
    drawn = []
    for names in (['cat'], None, ['dog']):
        more = dict(label_names=names) if names else {}
        visualizer.add_datasample('x', GRAY, sample([[20, 60, 80, 110]], [0], **more))
        drawn.append(visualizer.get_image())
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize('min_size', [0, 512])
def test_truth_and_prediction_side_by_side(min_size):
    visualizer = WordVisualizer(min_size=min_size)
    visualizer.dataset_meta = dict(classes=('cat', 'dog'))
    both = sample([[20, 60, 80, 110]], [1])
    both.gt_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 60, 80, 110]]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(np.ones((1, 128, 128), np.uint8), 128, 128),
    )
    visualizer.add_datasample('x', GRAY, both)
    factor = 4 if min_size else 1
    assert visualizer.get_image().shape == (128 * factor, 256 * factor, 3)
    assert both.pred_instances.bboxes.tolist() == [[20, 60, 80, 110]]


def test_with_a_segmentation_map_nothing_is_enlarged(visualizer):
    both = sample([[20, 60, 80, 110]], [1])
    visualizer.dataset_meta = dict(classes=('cat', 'dog'), palette=[(1, 2, 3), (4, 5, 6)])
    both.pred_sem_seg = PixelData(sem_seg=torch.zeros(1, 128, 128, dtype=torch.int64))
    visualizer.add_datasample('x', GRAY, both, draw_gt=False)
    assert visualizer.get_image().shape == (128, 128, 3)


def test_nothing_found_and_strange_boxes_and_words(visualizer):
    visualizer.add_datasample('x', GRAY, sample([], []), draw_gt=False)
    assert (visualizer.get_image() == 90).all()
    boxes = [[-50, -50, 900, 900], [5, 5, 5, 5], [float('nan')] * 4, [60, 60, 50, 50]]
    names = ['w' * 10_000, 'ein süßer\nKater', ' ', '猫']
    visualizer.add_datasample('x', GRAY, sample(boxes, [0, 1, 0, 1], label_names=names))
    assert (visualizer.get_image() != 90).any()


def test_masks_without_boxes_are_labeled_where_they_are(visualizer):
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[0, 70:100, 30:60] = True
    visualizer.add_datasample('x', GRAY, sample([[0, 0, 0, 0]], [1], masks=masks), draw_gt=False)
    assert visualizer.get_image()[340, 120].tolist() == list(word_color(1))


def test_shorten_keeps_both_ends():
    assert shorten('short', 10) == 'short'
    assert shorten('a long name of a thing 0.97', 15) == 'a long na…g 0.97'[:9] + '…' + ' 0.97'
    assert len(shorten('x' * 100, 20)) == 20


def test_montage_is_row_by_row_on_white():
    images = [np.full((20, 30, 3), value, np.uint8) for value in (10, 20, 30, 40)]
    joined = montage(images, columns=3)
    assert joined.shape == (2 * 32 + 12, 3 * 42 + 12, 3)
    assert joined[20, 20, 0] == 10 and joined[20, 62, 0] == 20 and joined[52, 20, 0] == 40
    assert joined[5, 5, 0] == 255 and joined[60, 70, 0] == 255
    mixed = montage([images[0], np.zeros((40, 30, 3), np.uint8)], columns=5)
    assert mixed.shape == (64, 96, 3)
    with pytest.raises(ValueError, match='at least one image'):
        montage([])
    with pytest.raises(ValueError, match='columns=0'):
        montage(images, columns=0)
