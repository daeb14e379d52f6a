# ADE20K's scene parsing benchmark (150 classes; docs/en/datasets.md), with LSeg's augmentation: the
# long side is drawn from 260 to 1040 pixels, a crop of 480.
data_root = 'data/ade/ADEChallengeData2016'

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmclip.RandomLongSideCrop', base_size=520, crop_size=480),
    dict(type='mmseg.PackSegInputs'),
]
# Images keep their size: the evaluation over scales resizes them.
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.PackSegInputs'),
]

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='ade20k',
        reduce_zero_label=True,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='ade20k',
        reduce_zero_label=True,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmclip.OpenVocabIoU')
test_evaluator = val_evaluator
