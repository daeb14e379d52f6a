# GLIP-L on Flickr30k Entities (paper table 4: R@1/5/10 87.1/96.9/98.1 on test; not measured here).
# Test: python tools/test.py configs/glip/glip_l_swin-l_flickr30k.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_l.py',
    '../_base_/datasets/flickr30k_phrases.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# Boxes as the official evaluation takes them.
model = dict(test_cfg=dict(inclusive=True))
val_cfg = dict(type='mmengine.ValLoop')
