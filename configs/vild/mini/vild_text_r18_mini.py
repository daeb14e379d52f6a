# ViLD-text on MiniWorld (row 'ViLD-text' of the paper's table 3, at toy size): trained on boxes of the
# base classes, tested on all 384 names.
# Train: python tools/train.py configs/vild/mini/vild_text_r18_mini.py
# Test:  python tools/test.py configs/vild/mini/vild_text_r18_mini.py work_dirs/vild_text_r18_mini/iter_900.pth
# Effective batch 8.
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/vild_mini.py',
    '../../_base_/datasets/mini_world_detection.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

custom_hooks = [dict(type='mmclip.VocabularyHook')]

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=900, val_interval=900)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=900, T_max=850),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
