"""Teacher regions move with the image: against ground truth, by hand, and at the borders."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from safetensors.torch import load_file

from mmclip.datasets.transforms.teacher_embeddings import move_boxes, valid_boxes
from mmclip.stores.regions import (
    Regions,
    shard_path,
    write_index,
    write_meta,
    write_shard,
)

DIM, WIDTH, HEIGHT = 4, 90, 60
BOXES = torch.tensor([[10.0, 10, 40, 30], [0, 0, 90, 60], [70, 40, 88, 58], [1, 1, 9, 7]])


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('mmdet')


@pytest.fixture
def store(tmp_path):
    meta = write_meta(tmp_path, dict(teacher=dict(model='mini_clip'), shards=1, embed_dim=DIM))
    regions = Regions(BOXES, torch.ones(4), torch.eye(4))
    none = Regions(*(value[:0] for value in regions))
    write_shard(shard_path(tmp_path, 0, 1), {5: regions, 6: none}, meta['fingerprint'])
    write_index(tmp_path, meta)
    return tmp_path


def sample(image_id: int = 5) -> dict:
    instances = [
        dict(bbox=box.tolist(), bbox_label=k, ignore_flag=0) for k, box in enumerate(BOXES)
    ]
    return dict(
        img=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        img_id=image_id,
        img_shape=(HEIGHT, WIDTH),
        ori_shape=(HEIGHT, WIDTH),
        instances=instances,
    )


def pipeline(store, *steps, **options):
    load = dict(type='mmclip.LoadTeacherEmbeddings', store=store, **options)
    annotations = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    return Compose([annotations, *steps, load, dict(type='mmclip.PackTeacherRegions')])


JITTER = (
    dict(
        type='mmcv.RandomResize',
        scale=(64, 64),
        ratio_range=(0.3, 3.0),
        resize_type='mmdet.Resize',
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomCrop', crop_size=(64, 64), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
)


@pytest.mark.parametrize('seed', range(12))
def test_they_go_where_the_ground_truth_goes(store, seed):
    """Ground truth of the same boxes: what mmdet keeps is what is valid, at the same place."""
    np.random.seed(seed)
    packed = pipeline(store, *JITTER)(sample())['data_samples']
    found, truth = packed.distill_instances, packed.gt_instances
    assert torch.equal(found.valid.nonzero()[:, 0], truth.labels)
    torch.testing.assert_close(found.bboxes[found.valid], truth.bboxes.tensor, rtol=0, atol=1e-4)
    assert torch.equal(found.embeddings, torch.eye(4))


def test_resize_flip_and_crop_by_hand(store):
    steps = (
        dict(type='mmdet.Resize', scale=(180, 120), keep_ratio=True),
        dict(type='mmdet.RandomFlip', prob=1.0),
    )
    found = pipeline(store, *steps)(sample())['data_samples'].distill_instances
    x1, y1, x2, y2 = (2 * BOXES).unbind(1)
    torch.testing.assert_close(found.bboxes, torch.stack([180 - x2, y1, 180 - x1, y2], 1))
    assert found.valid.all()


def test_nothing_moves_without_transforms_and_the_best_are_kept(store):
    found = pipeline(store, max_regions=2)(sample())['data_samples'].distill_instances
    assert torch.equal(found.bboxes, BOXES[:2])


def test_a_image_without_proposals(store):
    found = pipeline(store, *JITTER)(sample(6))['data_samples'].distill_instances
    assert found.bboxes.shape == (0, 4) and found.embeddings.shape == (0, DIM)
    assert found.valid.shape == (0,)


def test_both_masks_of_the_official_code(oracles):
    data = load_file(oracles / 'vild' / 'boxes.safetensors')
    scale, offset = data['input/image_scale'], data['input/offset']
    homography = np.eye(3)
    homography[[0, 1], [0, 1]] = scale.flip(0)
    homography[[0, 1], 2] = -offset.flip(0)
    boxes = data['input/orig_boxes'][:, [1, 0, 3, 2]]
    shape = tuple(data['input/output_size'].tolist())
    moved = move_boxes(boxes, homography, shape, official=True)
    expected = data['output/resized_cropped'][:, [1, 0, 3, 2]]
    torch.testing.assert_close(moved, expected, rtol=1e-6, atol=1e-4)
    assert torch.equal(valid_boxes(moved, official=True), data['output/resized_cropped_valid'])
    assert torch.equal(valid_boxes(moved), data['output/resized_cropped_nonempty'])


def test_bad_input(store):
    with pytest.raises(ValueError, match='image id 7 is not in the region store'):
        pipeline(store)(sample(7))
    with pytest.raises(ValueError, match='another teacher'):
        pipeline(store, model='ViT-B-32')
    with pytest.raises(ValueError, match='max_regions'):
        pipeline(store, max_regions=0)
    with pytest.raises(FileNotFoundError, match='precompute_regions'):
        pipeline(store / 'nowhere')
    with pytest.raises(ValueError, match=r'put mmclip\.LoadTeacherEmbeddings before'):
        Compose([dict(type='mmclip.PackTeacherRegions')])(sample())
