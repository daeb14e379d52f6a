# GLIP (B) on MiniWorld: deep fusion, boxes of the base classes, tested on all 384 names in captions.
# Train: python tools/train.py configs/glip/mini/glip_b_mini.py
# Test:  python tools/test.py configs/glip/mini/glip_b_mini.py work_dirs/glip_b_mini/iter_1200.pth
# Effective batch 8.
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glip_mini.py',
    '../../_base_/datasets/mini_world_glip.py',
    '../../_base_/schedules/glip_mini.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
