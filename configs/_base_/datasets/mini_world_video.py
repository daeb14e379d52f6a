# MiniWorld's clips (`python tools/make_mini_world.py --out data/mini_world --parts video`): 96 actions, a shape
# and a motion each; 24 novel pairs are in no training clip. 16 frames of 64 px, brought to the mini CLIP's 48.
# No flip: it would turn left into right.
data_root = 'data/mini_world/video/'

train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments'),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=48),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs'),
]
test_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments', test_mode=True),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=48),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('filename', 'split')),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.VideoClassificationDataset',
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(video='clips'),
        classes='classes.json',
        num_segments=8,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.VideoClassificationDataset',
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(video='clips'),
        classes='classes.json',
        splits_file='classes.json',
        num_segments=8,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.VideoClassificationDataset',
        data_root=data_root,
        ann_file='test.txt',
        data_prefix=dict(video='clips'),
        classes='classes.json',
        splits_file='classes.json',
        num_segments=8,
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5), group_key='split')
test_evaluator = val_evaluator
