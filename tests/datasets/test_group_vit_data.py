"""GroupViT's test sets in their real layouts, through its configs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.datasets.captions import expand_shards
from mmclip.registry import DATASETS

# Leaf -> where its images and masks lie below the data root, and its list, if it has one.
LAYOUTS = {
    'voc': ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation/val.txt', 21),
    'context': (
        'JPEGImages',
        'SegmentationClassContext',
        'ImageSets/SegmentationContext/val.txt',
        60,
    ),
    'coco_object': ('val2017', 'annotations/coco_object/val2017', None, 81),
}


def write(root: Path, images: str, masks: str, listed: str | None, count: int) -> None:
    for folder in (images, masks):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        image = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)
        mask = rng.integers(0, count, (60, 90), dtype=np.uint8)
        mask[0] = 255 if listed else 0  # COCO-Object ignores nothing
        cv2.imwrite(str(root / images / f'{name}.jpg'), image)
        cv2.imwrite(str(root / masks / f'{name}.png'), mask)
    if listed:
        path = root / listed
        path.parent.mkdir(parents=True)
        path.write_text('b\n')


@pytest.mark.parametrize('name', LAYOUTS)
@pytest.mark.parametrize('model', ['gcc_yfcc', 'gcc_redcaps'])
def test_masks_keep_their_size_while_images_are_resized(name, model, tmp_path):
    init_default_scope('mmseg')
    write(tmp_path, *LAYOUTS[name])
    config = Config.fromfile(config_path(f'group_vit/group_vit_{model}_{name}.py'))
    settings = config.test_dataloader.dataset
    settings.data_root = str(tmp_path)
    dataset = DATASETS.build(settings)
    assert len(dataset) == (1 if LAYOUTS[name][2] else 2)
    names = dataset.metainfo['classes']
    assert names[0] == 'background' and len(names) == LAYOUTS[name][3]
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 448, 672)
    assert sample['data_samples'].gt_sem_seg.shape == (60, 90)
    assert sample['data_samples'].ori_shape == (60, 90)
    assert config.model.test_cfg.bg_thresh == (0.35 if name == 'context' else 0.95)


@pytest.mark.parametrize(
    ('name', 'shards', 'samples'),
    [
        ('gcc_yfcc', 437 + 1944 + 1889, 28_663_147),
        ('gcc_redcaps', 437 + 1944 + 1212, 25_914_635),
        ('gcc12m', 1944, 11_156_203),
    ],
)
def test_mixes_name_the_official_shards(name, shards, samples, monkeypatch):
    config = Config.fromfile(config_path(f'group_vit/group_vit_{name}.py'))
    dataset = config.train_dataloader.dataset
    monkeypatch.setattr(Path, 'is_file', lambda self: True)
    assert len(expand_shards(dataset.shards)) == shards
    assert dataset.epoch_size == samples
    assert config.train_dataloader.batch_size * 16 == config.auto_scale_lr.base_batch_size == 4096
    prompts = next(t for t in dataset.pipeline if t['type'] == 'mmclip.NounPrompts')
    assert prompts['num_prompts'] == config.model.decode_head.multi_label
