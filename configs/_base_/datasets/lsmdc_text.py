# LSMDC: 101 079 training clips of films, 7408 for validation, 1000 for the test. 32 pairs on each of 4 GPUs.
data_root = 'data/lsmdc/'
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
        type='mmclip.LSMDC',
        data_root=data_root,
        ann_file='LSMDC16_annos_training.csv',
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
        type='mmclip.LSMDC',
        data_root=data_root,
        ann_file='LSMDC16_annos_val.csv',
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
        type='mmclip.LSMDC',
        data_root=data_root,
        ann_file='LSMDC16_challenge_1000_publictect.csv',
        data_prefix=dict(video='videos'),
        missing='drop',
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.VideoRetrieval', topk=(1, 5, 10))
test_evaluator = val_evaluator
