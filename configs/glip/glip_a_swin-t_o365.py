# GLIP-T (A) (paper table 1): no fusion, Objects365. Zero-shot COCO 42.9 (paper; not measured here).
# Train: bash tools/dist_train.sh configs/glip/glip_a_swin-t_o365.py 32
# Test:  python tools/test.py configs/glip/glip_a_swin-t_o365.py CHECKPOINT
# Effective batch 64; 30 epochs of 608 606 images.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t_a.py',
    '../_base_/datasets/glip_objects365.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
