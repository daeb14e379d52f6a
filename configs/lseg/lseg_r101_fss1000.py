# LSeg with ResNet-101 on FSS-1000 (paper: 84.7 mIoU; paper only, not measured here).
# Train: python tools/train.py configs/lseg/lseg_r101_fss1000.py (effective batch 64: 8 GPUs x 8 images)
# Test:  python tools/test.py configs/lseg/lseg_r101_fss1000.py CHECKPOINT
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/lseg_r101.py',
    '../_base_/datasets/fss1000.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]

model = dict(
    decode_head=dict(two_way=True),
    test_cfg=dict(mode='whole', rescale=False))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=240, val_interval=10)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            'decode_head': dict(lr_mult=10),
            'decode_head.reassemble': dict(lr_mult=1),
        }))
# MMEngine's schedule is at eta_min one step before its end.
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=241, by_epoch=True),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=True, interval=10, save_best='fold/mIoU', rule='greater'))
log_processor = dict(by_epoch=True)
