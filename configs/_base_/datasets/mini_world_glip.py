# MiniWorld detection as grounding: class names become a caption. The 216 base classes have boxes; negatives
# are drawn from base names only, since novel things lie unlabeled in the training images.
_base_ = ['./mini_world_detection.py']

max_tokens = 128
tokenizer = dict(type='mmclip.CLIPTokens')

train_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmclip.DetToGrounding',
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        num_negatives=20,
        negatives='dataset'),
    dict(type='mmclip.PackGroundingInputs'),
]
train_dataloader = dict(
    dataset=dict(return_classes=True, pipeline=train_pipeline))
