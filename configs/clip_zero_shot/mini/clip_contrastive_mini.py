# The mini CLIP that ships in the package, trained on MiniWorld's captions (5 minutes on two CPU cores):
#   python tools/make_mini_world.py --out data/mini_world
#   python tools/train.py configs/clip_zero_shot/mini/clip_contrastive_mini.py
#   python tools/make_mini_clip.py work_dirs/clip_contrastive_mini/iter_1000.pth
# The last writes work_dirs/mini_clip/; the shipped weights change only with its --overwrite-shipped (maintainers).
# Effective batch 128. Measured here, top-1 among all 384 names: docs/en/mini_world.md.
_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmengine'
max_iters = 1000

model = dict(
    type='mmclip.CLIPContrastive',
    model='mini_clip',
    temperature=0.07,
    loss=dict(type='mmclip.ContrastiveLoss'),
)

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmclip.ShardSampler', endless=True),
    dataset=dict(
        type='mmclip.CaptionShards',
        shards='data/mini_world/captions/train-{00000..00007}.tar',
        epoch_size=16512,
        shuffle=1000,
        pipeline=[
            dict(type='mmclip.CLIPRandomCrop', size=48, scale=(0.8, 1.0), flip_prob=0.5),
            dict(type='mmclip.PackCLIPInputs', meta_keys=('text', 'img_path')),
        ],
    ),
)

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters)
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    # No decay on gains, biases and the scale of the logits.
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(logit_scale=dict(decay_mult=0.0))),
)
warm_up = 100
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.04, by_epoch=False, end=warm_up),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=warm_up, end=max_iters, T_max=max_iters - warm_up, eta_min=0.0),
]
default_hooks = dict(checkpoint=dict(interval=100))
