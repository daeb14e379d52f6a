# The fold protocol on MiniWorld, fold 0: where is this thing?
# Train: python tools/train.py configs/lseg/mini/lseg_r18_mini_fold0.py
# Test:  python tools/test.py configs/lseg/mini/lseg_r18_mini_fold0.py work_dirs/lseg_r18_mini_fold0/iter_400.pth
# Effective batch 16.
_base_ = [
    '../../_base_/mmseg_runtime.py',
    '../../_base_/models/lseg_mini.py',
    '../../_base_/datasets/mini_world_folds.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]

model = dict(
    data_preprocessor=dict(seg_pad_val=255),
    decode_head=dict(two_way=True, loss_stride=2, ignore_index=255),
    test_cfg=dict(rescale=False))

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=400, val_interval=400)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=400, T_max=350),
]
default_hooks = dict(checkpoint=dict(interval=400), channels_last=dict(type='mmclip.ChannelsLastHook'))
