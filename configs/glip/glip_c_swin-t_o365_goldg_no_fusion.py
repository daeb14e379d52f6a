# Ablation: the data of GLIP-T (C) without fusion. COCO 41.6, LVIS minival 26.1 AP, Flickr30k val R@1 82.4,
# ODinW-13 35.5 (paper; not measured here).
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_no_fusion.py 32
# Effective batch 64.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t_a.py',
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
