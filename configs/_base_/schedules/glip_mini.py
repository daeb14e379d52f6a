# 8 images a step; the backbone a third and the text tower a tenth of the rate.
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=1200, val_interval=1200)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    constructor='mmclip.RegexOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.01),
    paramwise_cfg=dict(
        rules=[
            dict(pattern='bias', decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.3),
            dict(pattern=r'^text_encoder\.', lr_mult=0.1),
        ]),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=False, begin=50, end=1200, T_max=1150),
]
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False)]
auto_scale_lr = dict(enable=False, base_batch_size=8)
