# ActivityNet Captions as paragraphs: 10 009 training videos, 4917 of val_1; 64 frames and 64 words. 16 pairs on each
# of 8 GPUs.
data_root = 'data/activitynet/'
train_pipeline = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleBySecond', per_second=1, max_frames=64, cut='uniform'),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=224),
    dict(type='mmclip.PackTextVideo'),
]
test_pipeline = train_pipeline
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.ActivityNetCaptions',
        data_root=data_root,
        ann_file='train.json',
        video_list='train_ids.json',
        data_prefix=dict(video='videos'),
        missing='drop',
        skip_broken=True,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ActivityNetCaptions',
        data_root=data_root,
        ann_file='val_1.json',
        video_list='val_ids.json',
        data_prefix=dict(video='videos'),
        missing='drop',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10, 50))
test_evaluator = val_evaluator
