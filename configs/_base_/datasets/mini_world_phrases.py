# Phrases of MiniWorld's test captions: recall of boxes, apart for base, novel and unseen things. The model
# reads each image's own caption, so there is no vocabulary to set.
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer=dict(type='mmclip.CLIPTokens'),
        max_tokens=128,
        apart=True),
    dict(type='mmclip.PackGroundingInputs'),
]
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/mini_world/grounding/',
        ann_file='val.jsonl',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/mini_world/grounding/',
        ann_file='test.jsonl',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmclip.PhraseRecall')
test_evaluator = val_evaluator
