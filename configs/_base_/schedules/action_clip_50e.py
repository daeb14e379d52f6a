# AdamW on every weight with decay 0.2 (norms, biases and the logit scale too), 50 epochs: warm-up of 5 from
# 0, then a cosine of its own. Rates for 128 videos at a time: towers and scale 5e-6, head 5e-5. (The official
# loop sets the rate at every tenth iteration, here at each.)
epochs = 50
warmup = 5
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    dtype='float16',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=5e-6, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.2),
    paramwise_cfg=dict(
        custom_keys={
            'video.visual': dict(lr_mult=1),
            'video.post_prompt': dict(lr_mult=10)
        }))
param_scheduler = [
    dict(type='mmclip.WarmupDecayLR', total=epochs, warmup=warmup, convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
