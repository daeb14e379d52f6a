# The mini CLIP, trained on MiniWorld's captions (a few minutes on two CPU cores):
#   python tools/make_mini_world.py --out data/mini_world
#   python tools/train.py configs/clip_zero_shot/clip_contrastive_mini.py
# Effective batch 128. What it reaches: docs/en/mini_world.md.
_base_ = '../_base_/default_runtime.py'

default_scope = 'mmengine'
data_root = 'data/mini_world/'

model = dict(
    type='mmclip.CLIPContrastive',
    model='mini_clip',
    temperature=0.07,
    loss=dict(type='mmclip.ContrastiveLoss'),
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
    ),
)

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmclip.ShardSampler', endless=True),
    dataset=dict(
        type='mmclip.CaptionShards',
        shards=data_root + 'captions/train-{00000..00007}.tar',
        epoch_size=16512,
        shuffle=1000,
        pipeline=[
            dict(type='mmclip.CLIPRandomCrop', size=48, scale=(0.8, 1.0), flip_prob=0.5),
            dict(type='mmclip.PackCLIPInputs', meta_keys=('text', 'img_path')),
        ],
    ),
)

max_iters = 600
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(logit_scale=dict(decay_mult=0.0))),
)
param_scheduler = [
    dict(type='mmengine.OneCycleLR', eta_max=2e-3, pct_start=0.1, total_steps=max_iters, by_epoch=False)
]
