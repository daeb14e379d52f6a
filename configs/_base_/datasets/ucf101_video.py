# UCF101, split 1, in MMAction2's layout; names from the official lists/ucf101/ucf_labels.csv, where they are
# spelled 'ApplyEyeMakeup' and taken as they are (`split_words=True` would make words of them).
data_root = 'data/ucf101/'
train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments'),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameRandAugment', num_ops=0, magnitude=9),
    dict(
        type='mmaction.MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        num_fixed_crops=13,
        max_wh_scale_gap=1),
    dict(type='mmclip.FrameResize', size=224),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    dict(type='mmclip.FrameColor'),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs'),
]
test_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments', test_mode=True),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=224, short_side=256),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.VideoClassificationDataset',
        data_root=data_root,
        ann_file='ucf101_train_split_1_videos.txt',
        data_prefix=dict(video='videos'),
        classes='ucf_labels.csv',
        num_segments=8,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.VideoClassificationDataset',
        data_root=data_root,
        ann_file='ucf101_val_split_1_videos.txt',
        data_prefix=dict(video='videos'),
        classes='ucf_labels.csv',
        num_segments=8,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmaction.AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1, 5))))
test_evaluator = val_evaluator
