# LSeg on MiniWorld: the image encoder starts from the mini CLIP. Masks of base classes only in training,
# tested on all 385 words.
# Train: python tools/train.py configs/lseg/mini/lseg_r18_mini.py
# Test:  python tools/test.py configs/lseg/mini/lseg_r18_mini.py work_dirs/lseg_r18_mini/iter_800.pth
# Effective batch 16.
_base_ = [
    '../../_base_/mmseg_runtime.py',
    '../../_base_/models/lseg_mini.py',
    '../../_base_/datasets/mini_world_segmentation.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=800, val_interval=800)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=800, T_max=750),
]
default_hooks = dict(checkpoint=dict(interval=400), channels_last=dict(type='mmclip.ChannelsLastHook'))
