# A small PointNet on all training clouds of ModelNet40, the classical partner of an ensemble. Ours: AdamW, 100
# epochs of batches of 32. Not run here: the data is not there (docs/en/datasets.md).
#   python tools/train.py configs/point_clip/point_net_modelnet40.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/modelnet40.py', '../_base_/schedules/point_clip_250e.py'
]

default_scope = 'mmengine'
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=50, save_best='accuracy/top1'))
log_processor = dict(by_epoch=True)
model = dict(type='mmclip.PointNetClassifier', num_classes=40)
custom_hooks = [dict(type='mmclip.VocabularyHook')]
all_clouds = dict(dataset=dict(num_shots=None))
train_dataloader = all_clouds
val_dataloader = all_clouds
test_dataloader = all_clouds

epochs = 100
train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=1e-2))
param_scheduler = [dict(type='mmengine.CosineAnnealingLR', T_max=epochs)]
