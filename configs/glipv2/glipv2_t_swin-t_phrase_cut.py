# GLIPv2-T on PhraseCut: mean IoU of a phrase's pixels. 59.4 (from the paper by memory; not measured here).
# Test: python tools/test.py configs/glipv2/glipv2_t_swin-t_phrase_cut.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glipv2_swin_t_masks.py',
    '../_base_/datasets/phrase_cut.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

val_cfg = dict(type='mmengine.ValLoop')
