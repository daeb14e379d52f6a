# Official: SGD, 250 epochs of batches of 32, the first at 1e-5, then a cosine from 0.01 that never reaches 0
# (`python -m parity point_clip --case lr_schedule`). MMEngine's constant ends with the step that restores the rate.
epochs = 250
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=epochs, val_interval=10)
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='mmengine.ConstantLR', factor=1e-3, begin=0, end=2),
    dict(type='mmengine.CosineAnnealingLR', T_max=epochs, begin=1, end=epochs + 1),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
