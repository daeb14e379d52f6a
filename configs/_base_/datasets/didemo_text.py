# DiDeMo as paragraphs: 8395, 1065 and 1004 videos of at most half a minute; 64 frames and 64 words. 16 pairs on
# each of 8 GPUs.
data_root = 'data/didemo/'
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
        type='mmclip.DiDeMo',
        data_root=data_root,
        ann_file='train_data.json',
        video_list='train_list.txt',
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
        type='mmclip.DiDeMo',
        data_root=data_root,
        ann_file='val_data.json',
        video_list='val_list.txt',
        data_prefix=dict(video='videos'),
        missing='drop',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.DiDeMo',
        data_root=data_root,
        ann_file='test_data.json',
        video_list='test_list.txt',
        data_prefix=dict(video='videos'),
        missing='drop',
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10))
test_evaluator = val_evaluator
