# MSR-VTT, 9000 training videos with 20 sentences each (every pair once an epoch), 1k-A test: 1000 pairs, which
# serve for validation too, as officially. 32 pairs on each of 4 GPUs.
data_root = 'data/msrvtt/'
train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleBySecond', per_second=1, max_frames=12, cut='uniform'),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=224),
    dict(type='mmclip.PackTextVideo'),
]
test_pipeline = train_pipeline
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.MSRVTT',
        data_root=data_root,
        ann_file='MSRVTT_data.json',
        video_list='MSRVTT_train.9k.csv',
        data_prefix=dict(video='videos'),
        skip_broken=True,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.MSRVTT',
        data_root=data_root,
        ann_file='MSRVTT_data.json',
        video_list='MSRVTT_JSFUSION_test.csv',
        data_prefix=dict(video='videos'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10))
test_evaluator = val_evaluator
