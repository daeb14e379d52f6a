# The official recipe: BertAdam, 1e-4 for new modules and a thousandth of it for everything of CLIP, decay 0.2 but
# for biases, warm-up over a tenth, cosine over all. The official code holds CLIP's weights in fp16, where so small
# a rate moves what it should not; with fp32 weights expect about 3 points less R@1 (issue 96 there) and use
# clip4clip_5e.py.
epochs = 5
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    constructor='mmclip.RegexOptimWrapperConstructor',
    optimizer=dict(
        type='mmclip.BertAdam', lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, max_grad_norm=1.0),
    paramwise_cfg=dict(rules=[
        dict(pattern=r'^(clip|patch_3d)\.', lr_mult=1e-3),
        dict(pattern='bias', decay_mult=0),
    ]),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(
        type='mmclip.WarmupCosineLR',
        total=epochs,
        warmup=0.1 * epochs,
        start_factor=0.0,
        end_factor=0.0,
        delay=0,
        convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
