# Recall of the phrases of MiniWorld's test captions, apart for base, novel and unseen things.
# python tools/test.py configs/glip/mini/glip_c_mini_phrases.py CHECKPOINT
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glip_mini.py',
    '../../_base_/datasets/mini_world_phrases.py',
    '../../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
val_cfg = dict(type='mmengine.ValLoop')
