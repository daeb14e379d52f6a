# MiniWorld in LVIS format (`python tools/make_mini_world.py --out data/mini_world`): 384 classes, of
# which novel and unseen ones have frequency 'r' and no box in training. Images of 128 px.
data_root = 'data/mini_world/detection/'

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    # Before Resize, so that the boxes are resized with the image.
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='annotations/lvis_train.json',
        data_prefix=dict(img=''),
        drop_novel_boxes=True,
        load_masks=False,
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='annotations/lvis_val.json',
        data_prefix=dict(img=''),
        load_masks=False,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='annotations/lvis_test.json',
        data_prefix=dict(img=''),
        load_masks=False,
        test_mode=True,
        pipeline=test_pipeline))

val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric', ann_file=data_root + 'annotations/lvis_val.json')
test_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric', ann_file=data_root + 'annotations/lvis_test.json')
