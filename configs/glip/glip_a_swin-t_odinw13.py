# GLIP-T (A) zero-shot on ODinW-13 (paper table 5: 28.7 on average; not measured here): each set's names, with the
# words that the official configs put around some of them.
# Test: python tools/test.py configs/glip/glip_a_swin-t_odinw13.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t_a.py',
    '../_base_/datasets/odinw13.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

val_cfg = dict(type='mmengine.ValLoop')
