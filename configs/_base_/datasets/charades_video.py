# Charades: untrimmed videos with several of 157 actions each, lines 'path label label ...'; mean average
# precision over the classes. The official code has no multi-label training: here a video's text is one of its
# actions, drawn anew at each step, and every text about one of its actions is a positive.
data_root = 'data/charades/'
train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments'),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameRandAugment', num_ops=2, magnitude=9),
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
        ann_file='charades_train_list_videos.txt',
        data_prefix=dict(video='videos'),
        classes='charades_labels.csv',
        multi_label=True,
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
        ann_file='charades_val_list_videos.txt',
        data_prefix=dict(video='videos'),
        classes='charades_labels.csv',
        multi_label=True,
        num_segments=8,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmaction.AccMetric', metric_list='mean_average_precision', metric_options=dict())
test_evaluator = val_evaluator
