# MSVD: 1200, 100 and 670 videos with about 40 sentences each. In a test each sentence looks for its video, and
# each video for the best of its sentences among those of all. 32 pairs on each of 4 GPUs.
data_root = 'data/msvd/'
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
        type='mmclip.MSVD',
        data_root=data_root,
        ann_file='raw-captions.pkl',
        video_list='train_list.txt',
        data_prefix=dict(video='videos'),
        skip_broken=True,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.MSVD',
        data_root=data_root,
        ann_file='raw-captions.pkl',
        video_list='val_list.txt',
        data_prefix=dict(video='videos'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.MSVD',
        data_root=data_root,
        ann_file='raw-captions.pkl',
        video_list='test_list.txt',
        data_prefix=dict(video='videos'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10), lower_median=True)
test_evaluator = val_evaluator
