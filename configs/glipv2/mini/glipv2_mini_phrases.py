# GLIPv2 trained on MiniWorld, tested on captions: recall of phrases' boxes and IoU of their pixels.
# Test: python tools/test.py configs/glipv2/mini/glipv2_mini_phrases.py work_dirs/glipv2_mini/iter_1200.pth
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glipv2_mini.py',
    '../../_base_/datasets/mini_world_phrase_masks.py',
    '../../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

val_cfg = dict(type='mmengine.ValLoop')
