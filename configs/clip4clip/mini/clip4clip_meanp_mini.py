# CLIP4Clip on MiniWorld: the mini CLIP as both towers, 8 frames, the mean over them. A gallery of 192 test clips; a
# guess finds 0.5 %.
# Train: python tools/train.py configs/clip4clip/mini/clip4clip_meanp_mini.py
# Test:  python tools/test.py configs/clip4clip/mini/clip4clip_meanp_mini.py work_dirs/clip4clip_meanp_mini/iter_400.pth
# Effective batch 32. Measured here, one seed: 91.7 R@1 text to video, 93.2 video to text.
_base_ = ['../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_retrieval.py']
default_scope = 'mmaction'
custom_hooks = [dict(type='mmclip.BindModelHook')]
model = dict(
    type='mmclip.CLIP4Clip',
    model='mini_clip',
    pretrained='mini_clip',
    sim_head=dict(type='mmclip.MeanPHead'))

max_iters = 400
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='mmclip.WarmupDecayLR', total=max_iters, warmup=40, by_epoch=False)
]
default_hooks = dict(checkpoint=dict(interval=200), channels_last=dict(type='mmclip.ChannelsLastHook'))
