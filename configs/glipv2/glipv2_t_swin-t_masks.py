# Masks for a trained GLIPv2-T: only the mask head learns, on COCO, LVIS and PhraseCut. COCO test-dev mask AP 42.0
# (from the paper by memory; not measured here).
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_masks.py 32 --cfg-options load_from=glipv2_t.pth
# Test:  python tools/test.py configs/glipv2/glipv2_t_swin-t_masks.py CHECKPOINT
# Effective batch 64. Length and rate are ours: nothing was released.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glipv2_swin_t_masks.py',
    '../_base_/datasets/glipv2_masks.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
default_hooks = dict(checkpoint_check=dict(new_modules=['bbox_head.mask_head']))
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

model = dict(tuning='masks')

optim_wrapper = dict(
    paramwise_cfg=dict(rules=[dict(pattern='bias', lr_mult=2.0, decay_mult=0.0)]))
train_cfg = dict(max_iters=90_000, val_interval=10_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[60_300, 80_100], gamma=0.1),
]
