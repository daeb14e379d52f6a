"""TensorFlow 1's resizing; the official code's own pixels are in tests/parity."""

import numpy as np

from mmclip.datasets.transforms.tf_resize import TFResize, tf_resize


def test_reads_from_the_corner_not_from_the_center():
    row = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    assert tf_resize(row, (1, 2)).ravel().tolist() == [0.0, 2.0]
    assert tf_resize(row, (1, 8)).ravel().tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]


def test_transform_fits_the_size_and_notes_what_it_did():
    results = TFResize(scale=(32, 16)).transform(dict(img=np.zeros((10, 50, 3), np.uint8)))
    assert results['img_shape'] == results['img'].shape[:2] == (6, 32)
    assert results['scale_factor'] == (32 / 50, 6 / 10) and results['scale'] == (32, 6)
    assert results['img'].dtype == np.float32
