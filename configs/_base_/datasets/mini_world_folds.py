# MiniWorld's folds (`python tools/make_mini_world.py --out data/mini_world`): one of the 384 names is asked
# for per image of 128 px; a fold's 96 names are in no training mask, every shape, texture and color is.
data_root = 'data/mini_world/segmentation/'

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'class_id')),
]
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'class_id')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.FoldSegDataset',
        benchmark='mini_world',
        fold=0,
        part='train',
        data_root=data_root,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.FoldSegDataset',
        benchmark='mini_world',
        fold=0,
        part='val',
        data_root=data_root,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.FoldSegDataset',
        benchmark='mini_world',
        fold=0,
        part='test',
        data_root=data_root,
        pipeline=test_pipeline))

val_evaluator = dict(type='mmclip.FoldIoU')
test_evaluator = val_evaluator
