# GroupViT on MiniWorld from captions only: 8 colors and the background (a constant answer gives about 9
# mIoU).
# Train: python tools/train.py configs/group_vit/mini/group_vit_one_stage_mini.py
# Test:  python tools/test.py configs/group_vit/mini/group_vit_one_stage_mini.py work_dirs/group_vit_one_stage_mini/iter_1400.pth
# Effective batch 128.
_base_ = [
    '../../_base_/mmseg_runtime.py',
    '../../_base_/models/group_vit_mini.py',
    '../../_base_/schedules/group_vit_test.py',
    '../../_base_/datasets/mini_world_scenes.py',
]
max_iters = 1400
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='mmengine.ValLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0.0, norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(
        type='mmclip.WarmupCosineLR',
        by_epoch=False,
        total=max_iters,
        warmup=max_iters // 20,
        start_factor=0.01,
        end_factor=0.0)
]
default_hooks = dict(checkpoint=dict(interval=700))
