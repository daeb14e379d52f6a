# A linear probe on the mini CLIP's frozen image features: 37 epochs over MiniWorld's base crops, batch
# 64, AdamW with a cosine; tested on base things (a probe cannot name what it never saw).
# What it reaches: docs/en/methods/clip_zero_shot.md (measured here).
#   python tools/train.py configs/clip_zero_shot/mini/linear_probe_mini.py
_base_ = [
    '../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_classification.py'
]

default_scope = 'mmengine'
clip = dict(model='mini_clip', pretrained='mini_clip')
model = dict(
    type='mmclip.CLIPZeroShotClassifier',
    backbone=dict(type='mmclip.OpenCLIPBackbone', frozen=True, **clip),
    head=dict(type='mmclip.LinearClassifier', model='mini_clip', classes=384))
custom_hooks = [dict(type='mmclip.VocabularyHook')]

val_dataloader = dict(dataset=dict(splits=['base']))
test_dataloader = dict(dataset=dict(splits=['base']))

max_iters = 1000
train_cfg = dict(by_epoch=False, max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='AdamW', lr=2e-2, weight_decay=1e-4))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', T_max=max_iters, by_epoch=False, eta_min=0)
]
