# LVIS v1 (docs/en/datasets.md says how to lay it out), boxes only; `lvis_instance.py` adds the masks.
# Training sees the boxes of the 866 frequent and common classes; the 337 rare ones are novel.
# Large-scale jitter of ViLD: one factor from U(0.1, 2.0) of 1024 px, random crop, flip. The padding to
# 1024 x 1024 is the data preprocessor's (`mmdet.BatchFixedSizePad`), because it comes after the
# normalization.
data_root = 'data/lvis_v1/'
image_size = (1024, 1024)

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmcv.RandomResize',
        scale=image_size,
        ratio_range=(0.1, 2.0),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    dict(
        type='mmdet.RandomCrop',
        crop_type='absolute',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=image_size, keep_ratio=True),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='annotations/lvis_v1_train.json',
        # The folder (train2017 or val2017) comes from each image's coco_url.
        data_prefix=dict(img=''),
        drop_novel_boxes=True,
        load_masks=False,
        filter_cfg=dict(filter_empty_gt=False, min_size=32),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='annotations/lvis_v1_val.json',
        data_prefix=dict(img=''),
        load_masks=False,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric', ann_file=data_root + 'annotations/lvis_v1_val.json')
test_evaluator = val_evaluator
