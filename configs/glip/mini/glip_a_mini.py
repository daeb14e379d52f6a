# GLIP (A) on MiniWorld: no fusion, boxes of the base classes, tested on all 384 names in captions.
# Train: python tools/train.py configs/glip/mini/glip_a_mini.py
# Test:  python tools/test.py configs/glip/mini/glip_a_mini.py work_dirs/glip_a_mini/iter_1200.pth
# Effective batch 8.
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glip_mini_a.py',
    '../../_base_/datasets/mini_world_glip.py',
    '../../_base_/schedules/glip_mini.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
