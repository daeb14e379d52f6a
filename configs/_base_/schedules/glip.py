# Of GLIP-T's pre-training: 64 images a step (32 processes of 2), AdamW, biases twice the rate and no decay,
# BERT a tenth of the rate, a tenth at 67 % and 89 % of the iterations, averaged weights. Leaves set
# max_iters and the two milestones.
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=285_000, val_interval=20_000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    constructor='mmclip.RegexOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern='bias', lr_mult=2.0, decay_mult=0.0),
            dict(pattern=r'^text_encoder\.', lr_mult=0.1),
        ]),
    clip_grad=dict(max_norm=1.0))
# The first iteration at the full rate is the 2001st.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[190_950, 253_650], gamma=0.1),
]
custom_hooks = [
    dict(type='mmclip.VocabularyHook', train=False),
    dict(
        type='mmengine.EMAHook',
        ema_type='mmengine.ExponentialMovingAverage',
        momentum=0.001,
        priority='ABOVE_NORMAL'),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
