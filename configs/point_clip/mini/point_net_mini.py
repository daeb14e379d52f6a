# A small PointNet on 16 clouds per shape, the classical network of the ensembles.
#   python tools/train.py configs/point_clip/mini/point_net_mini.py
_base_ = './point_clip_few_shot_mini.py'

model = dict(_delete_=True, type='mmclip.PointNetClassifier', num_classes=12)
max_iters = 1500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=1e-2))
param_scheduler = [dict(type='mmengine.CosineAnnealingLR', T_max=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=max_iters))
