# MiniWorld's masks (`python tools/make_mini_world.py --out data/mini_world`): 384 names and a background,
# images of 128 px. Training knows the words of the background and the 216 base classes only; novel things
# lie in its images unlabeled. Validation and test ask for all 385 words.
data_root = 'data/mini_world/segmentation/'

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.PackSegInputs'),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='mini_world',
        background_word='background',
        splits='mini_world',
        keep=['base'],
        ignore_index=65535,
        img_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='mini_world',
        background_word='background',
        splits='mini_world',
        ignore_index=65535,
        img_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='mini_world',
        background_word='background',
        splits='mini_world',
        ignore_index=65535,
        img_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='annotations/test'),
        test_mode=True,
        pipeline=test_pipeline))

val_evaluator = dict(type='mmclip.OpenVocabIoU', ignore_index=65535)
test_evaluator = val_evaluator
