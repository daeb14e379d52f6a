# MiniWorld's clouds in ModelNet's h5 layout (`mmclip data mini_world --parts points`): twelve shapes, extruded;
# 40 / 20 / 40 of each to train, validate and test, turned by up to 45 degrees. Beside `clean` lie `cut`, in which a
# random quarter is missing, the fair test, and `full_turn`.
data_root = 'data/mini_world/points/clean'

pack = dict(type='mmclip.PackPointInputs')
train_pipeline = [
    dict(type='mmclip.LoadPoints'),
    dict(type='mmclip.RandomScaleShiftPoints'),
    dict(type='mmclip.ShufflePoints'),
    pack,
]
test_pipeline = [dict(type='mmclip.LoadPoints'), pack]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mmclip.ModelNetH5', data_root=data_root, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=60,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ModelNetH5',
        data_root=data_root,
        split='val',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=60,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ModelNetH5',
        data_root=data_root,
        split='test',
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
val_cfg = dict()
test_cfg = dict()
