# GLIP-T (paper table 1): Objects365, GoldG and 4 million web captions with the boxes of GLIP-T (C). Zero-shot
# COCO 46.3, LVIS minival 26.0 AP, Flickr30k test R@1 85.7, ODinW-13 46.5 (paper; not measured here).
# Labels: python tools/pseudo_label.py configs/glip/glip_c_swin-t_o365_goldg.py CHECKPOINT --shards 'data/cap4m/{00000..00399}.tar' --out data/cap4m_glip_t_c
# Train:  bash tools/dist_train.sh configs/glip/glip_t_swin-t_cap4m.py 32
# Effective batch 64.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_objects365_goldg_cap4m.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# 30 epochs of 5.38 million images and captions.
train_cfg = dict(max_iters=2_520_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[1_688_400, 2_242_800], gamma=0.1),
]
