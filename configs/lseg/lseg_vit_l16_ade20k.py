# LSeg with ViT-L/16 and CLIP ViT-B/32 text on ADE20K (paper table 6: 82.46 pixAcc, 46.28 mIoU over scales
# with flip; paper only, not measured here).
# Train: python tools/train.py configs/lseg/lseg_vit_l16_ade20k.py (8 GPUs: torchrun --nproc-per-node 8,
#        --launcher pytorch; effective batch 16: 8 GPUs x 1 image x 2 accumulated steps)
# Test:  python tools/test.py configs/lseg/lseg_vit_l16_ade20k.py CHECKPOINT
# The official rate is 0.004 / 16 x images per GPU, whatever the number of GPUs: scale it with batch_size.
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/lseg_vit_l16.py',
    '../_base_/datasets/ade20k.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]

model = dict(
    test_cfg=dict(
        mode='multi_scale',
        base_size=520,
        crop_size=480,
        scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75],
        flip=True))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=240, val_interval=240)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    accumulative_counts=2,
    optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=1e-4),
    # Ten times faster behind the reassembled maps.
    paramwise_cfg=dict(
        custom_keys={
            'decode_head': dict(lr_mult=10),
            'decode_head.reassemble': dict(lr_mult=1),
        }))
# MMEngine's schedule is at eta_min one step before its end.
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=241, by_epoch=True),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=10))
log_processor = dict(by_epoch=True)
