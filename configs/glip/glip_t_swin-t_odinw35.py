# GLIP-T zero-shot on the 35 sets of ODinW: each set's names, with the
# words that the official configs put around some of them.
# Test: python tools/test.py configs/glip/glip_t_swin-t_odinw35.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/odinw35.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

val_cfg = dict(type='mmengine.ValLoop')
