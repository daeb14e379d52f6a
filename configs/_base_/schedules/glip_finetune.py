# Of GLIP's fine-tuning on COCO: 32 images a step, 24 epochs of 117 266 images, 1e-5 for everything.
_base_ = './glip.py'

train_cfg = dict(max_iters=88_000, val_interval=4_000)
optim_wrapper = dict(
    optimizer=dict(lr=1e-5),
    paramwise_cfg=dict(rules=[dict(pattern='bias', lr_mult=2.0, decay_mult=0.0)]))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[58_960, 78_320], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
