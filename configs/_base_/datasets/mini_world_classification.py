# MiniWorld's crops with one thing each (`python tools/make_mini_world.py --out data/mini_world`): 384
# names, training images of base things only. Images as the mini CLIP (48 px) sees them.
data_root = 'data/mini_world/classification/'

pipeline = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.CLIPResizeCrop', size=48),
    dict(type='mmclip.PackCLIPInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.ClassificationList',
        data_root=data_root,
        ann_file='train.csv',
        classes='mini_world',
        pipeline=pipeline))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ClassificationList',
        data_root=data_root,
        ann_file='val.csv',
        classes='mini_world',
        test_mode=True,
        pipeline=pipeline))
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ClassificationList',
        data_root=data_root,
        ann_file='test.csv',
        classes='mini_world',
        test_mode=True,
        pipeline=pipeline))
val_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5), group_key='split')
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5), group_key='split')
val_cfg = dict()
test_cfg = dict()
