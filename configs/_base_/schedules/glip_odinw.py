# Of GLIP's fine-tuning on small sets: 4 images a step, at most 200 epochs, a tenth of the rate after 3 epochs
# without progress on the validation set, the end after 8.
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=200, val_interval=1)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    constructor='mmclip.RegexOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        rules=[
            dict(pattern='bias', lr_mult=2.0, decay_mult=0.0),
            dict(pattern=r'^text_encoder\.', lr_mult=0.1),
        ]),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(
        type='ReduceOnPlateauLR',
        by_epoch=True,
        monitor='coco/bbox_AP',
        rule='greater',
        factor=0.1,
        patience=3)
]
custom_hooks = [
    dict(type='mmclip.VocabularyHook', train=False),
    dict(type='mmengine.EarlyStoppingHook', monitor='coco/bbox_AP', rule='greater', patience=8),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
