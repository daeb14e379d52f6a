# Objects365 as grounding (docs/en/datasets.md), for GLIP-T (A) and (B); COCO val2017 for zero-shot tests.
_base_ = ['./glip_coco_test.py']

objects365 = dict(
    type='mmclip.ODVGDataset',
    data_root='data/objects365v1/',
    ann_file='odvg_train.jsonl',
    label_map_file='label_map.json',
    data_prefix=dict(img='train/'),
    return_classes=True,
    skip_bad_images=True,
    filter_cfg=dict(filter_empty_gt=False),
    pipeline={{_base_.detection_pipeline}})
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=objects365)
