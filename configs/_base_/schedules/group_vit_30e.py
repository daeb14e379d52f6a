# AdamW, 30 epochs, warm-up of 2, cosine over all 30; the rates are for 4096 images at a time
# (tools/train.py --auto-scale-lr for another number; all three scale together).
_base_ = './group_vit_test.py'
epochs = 30
base_lr = 1.6e-3
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='mmengine.ValLoop')
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    dtype='float16',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    # Vectors (biases, norms) do not decay; tokens, embeddings and both logit scales do, as in the paper.
    paramwise_cfg=dict(flat_decay_mult=0.0, norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(
        type='mmclip.WarmupCosineLR',
        total=epochs,
        warmup=2,
        start_factor=4e-6 / base_lr,
        end_factor=4e-5 / base_lr,
        convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=4096)
sync_bn = 'torch'  # the projectors' batch norm over all processes
