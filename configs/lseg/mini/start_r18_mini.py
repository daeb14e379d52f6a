# Where lseg_r18_mini_supervised.py starts: the mini CLIP's image tower, from random weights, trained to name
# the crops of MiniWorld's base things, as ImageNet's ViT was trained to name its classes.
# python tools/train.py configs/lseg/mini/start_r18_mini.py
# Effective batch 64.
_base_ = [
    '../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_classification.py'
]
default_scope = 'mmengine'
max_iters = 1000
model = dict(
    type='mmclip.CLIPZeroShotClassifier',
    backbone=dict(type='mmclip.OpenCLIPBackbone', model='mini_clip', frozen=False),
    head=dict(type='mmclip.LinearClassifier', model='mini_clip', classes=384))
custom_hooks = [dict(type='mmclip.VocabularyHook')]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmclip.LoadPILImage'),
            dict(type='mmclip.CLIPRandomCrop', size=48, scale=(0.8, 1.0), flip_prob=0.5),
            dict(type='mmclip.PackCLIPInputs'),
        ]))
val_dataloader = dict(dataset=dict(splits=['base']))
test_dataloader = dict(dataset=dict(splits=['base']))

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.04, by_epoch=False, end=100),
    dict(
        type='mmengine.CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters,
        T_max=max_iters - 100, eta_min=0),
]
