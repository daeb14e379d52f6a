# MiniWorld's clips with sentences, in MSR-VTT's files (`python tools/make_mini_world.py --out data/mini_world --parts
# video`): 1440 training clips with four sentences each, a gallery of 192 test clips with one. 16 frames of 64 px at 8
# per second; 8 of them, brought to the mini CLIP's 48 px.
data_root = 'data/mini_world/video/'
train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleBySecond', per_second=4, max_frames=8),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=48),
    dict(type='mmclip.PackTextVideo'),
]
test_pipeline = train_pipeline
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.MSRVTT',
        data_root=data_root,
        ann_file='msrvtt.json',
        video_list='msrvtt_train.csv',
        data_prefix=dict(video='clips'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.MSRVTT',
        data_root=data_root,
        ann_file='msrvtt.json',
        split='validate',
        max_texts=1,
        data_prefix=dict(video='clips'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.MSRVTT',
        data_root=data_root,
        ann_file='msrvtt.json',
        video_list='msrvtt_test.csv',
        data_prefix=dict(video='clips'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10))
test_evaluator = val_evaluator
