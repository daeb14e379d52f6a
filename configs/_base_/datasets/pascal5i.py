# PASCAL-5i (docs/en/datasets.md): 20 classes, four folds of five. Every image becomes 480 x 480.
data_root = 'data/pascal5i'

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmclip.SquareResize', size=480),
    dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'class_id')),
]
test_pipeline = train_pipeline

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.FoldSegDataset',
        benchmark='pascal5i',
        fold=0,
        part='train',
        data_root=data_root,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.FoldSegDataset',
        benchmark='pascal5i',
        fold=0,
        part='test',
        data_root=data_root,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmclip.FoldIoU')
test_evaluator = val_evaluator
