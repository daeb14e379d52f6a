# MiniWorld's captioned scenes (`python tools/make_mini_world.py --out data/mini_world`): training sees
# images and captions only; masks of 8 colors are asked for in validation and testing.
data_root = 'data/mini_world/scene_captions/'
words = [
    'red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'pink', 'plain', 'striped', 'dotted',
    'checkered', 'circle', 'square', 'triangle', 'star', 'cross', 'moon', 'house', 'bolt', 'heart', 'ring',
    'arrow', 'diamond'
]
train_pipeline = [
    # Colors and textures count as nouns here, alone and as pairs ('striped red'); they go without a sentence
    # around them.
    dict(type='mmclip.NounPrompts', num_prompts=3, templates='name', source=words, max_words=2),
    dict(type='mmclip.CLIPRandomCrop', size=64, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip_prob=0.5),
    dict(type='mmclip.ToBGR'),
    dict(type='mmclip.PackCLIPInputs', meta_keys=('texts', 'img_path')),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmclip.ShardSampler', endless=True),
    dataset=dict(
        type='mmclip.CaptionShards',
        shards=data_root + 'train-{00000..00007}.tar',
        epoch_size=24000,
        shuffle=1000,
        pipeline=train_pipeline))
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.PackSegInputs'),
]
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes=data_root + 'colors.txt',
        background_word='background',
        img_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='colors/val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes=data_root + 'colors.txt',
        background_word='background',
        img_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='colors/test'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = [dict(type='mmclip.OpenVocabIoU'), dict(type='mmclip.GroupIoU')]
test_evaluator = val_evaluator
