# 180 000 iterations of 256 images (about 460 epochs of LVIS): SGD 0.32, decay of kernels only, no
# clipping. The released configuration names three steps but two rates, so it drops twice; the paper's
# three are here.
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=180000, val_interval=20000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.32, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=180000,
        milestones=[162000, 171000, 175500],
        gamma=0.1),
]
# `--auto-scale-lr` divides the rate when fewer than 32 GPUs of 8 images train.
auto_scale_lr = dict(enable=False, base_batch_size=256)
