# The second mini CLIP that ships in the package: mini_clip, trained further on photographs, line drawings,
# silhouettes, flat colors and things in haze with words for their distance:
#   python tools/make_mini_world.py --out data/mini_world
#   python tools/train.py configs/clip_zero_shot/mini/clip_contrastive_styles_mini.py
#   python tools/make_mini_clip.py --name mini_clip_styles work_dirs/clip_contrastive_styles_mini/iter_1000.pth
# Effective batch 128. Measured here: docs/en/mini_world.md.
_base_ = './clip_contrastive_mini.py'

max_iters = 1000

# Names of shapes and words for distances repeat within a batch.
model = dict(
    model='mini_clip_styles',
    pretrained='mini_clip',
    temperature=None,
    mask_equal_texts=True)

train_dataloader = dict(
    dataset=dict(shards='data/mini_world/styles/train-{00000..00007}.tar', epoch_size=28232))

train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3, fused=True))
warm_up = 50
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.04, by_epoch=False, end=warm_up),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=warm_up, end=max_iters, T_max=max_iters - warm_up, eta_min=0.0),
]
