# PointCLIP with 16 shots on MiniWorld's cut clouds: the inter-view adapter over ten views, trained for 300 steps
# (two minutes on one core). What it reaches: configs/point_clip/README.md (measured here).
#   python tools/train.py configs/point_clip/mini/point_clip_few_shot_mini.py
#   python tools/test.py configs/point_clip/mini/point_clip_few_shot_mini.py \
#     work_dirs/point_clip_few_shot_mini/last.pth
# Effective batch 32.
_base_ = [
    '../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_points.py',
    '../../_base_/models/point_clip_mini.py', '../../_base_/schedules/point_clip_250e.py'
]

default_scope = 'mmengine'
model = dict(
    projector=dict(views='few_shot10', distance=1.6),
    adapter=dict(type='mmclip.InterViewAdapter'),
    loss=dict(type='mmclip.SmoothCELoss', eps=0.2))
cut = 'data/mini_world/points/cut'
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_root=cut, num_shots=16, pipeline={{_base_.test_pipeline}}))
val_dataloader = dict(dataset=dict(data_root=cut))
test_dataloader = dict(dataset=dict(data_root=cut))

# A few steps per epoch, whatever the number of shots: 300 steps in all.
max_iters = 300
train_cfg = dict(
    _delete_=True, type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='mmengine.ConstantLR', factor=1e-3, begin=0, end=3, by_epoch=False),
    dict(type='mmengine.CosineAnnealingLR', T_max=max_iters, begin=3, end=max_iters, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
