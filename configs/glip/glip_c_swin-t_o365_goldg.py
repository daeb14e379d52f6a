# GLIP-T (C) (paper table 1): deep fusion, Objects365 and GoldG. Zero-shot COCO 46.7, LVIS minival 24.9 AP,
# Flickr30k test R@1 85.5 (paper; not measured here).
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg.py 32
# Test:  python tools/test.py configs/glip/glip_c_swin-t_o365_goldg.py CHECKPOINT
# Effective batch 64.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_objects365_goldg.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# 30 epochs of 1.38 million images and captions.
train_cfg = dict(max_iters=646_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[432_820, 574_940], gamma=0.1),
]
