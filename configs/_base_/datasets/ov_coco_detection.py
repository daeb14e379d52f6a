# OV-COCO 48/17: COCO 2017 with 48 base and 17 novel classes, tested on all 65 (generalized protocol).
# Files: python tools/dataset_converters/ov_coco.py data/coco
# Training sees all images and the boxes of the base classes. For the variant in which the classifier
# holds all 80 classes, make the files with --classes 80 and name them here.
data_root = 'data/coco/'
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
        ann_file='annotations/ov_coco_train2017_base.json',
        data_prefix=dict(img='train2017/'),
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
        ann_file='annotations/ov_coco_val2017.json',
        data_prefix=dict(img='val2017/'),
        load_masks=False,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmclip.OVCocoMetric', ann_file=data_root + 'annotations/ov_coco_val2017.json')
test_evaluator = val_evaluator
