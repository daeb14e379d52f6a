# GLIP-T on Flickr30k Entities (paper table 4: R@1/5/10 85.7/95.8/97.2 on test; not measured here).
# Test: python tools/test.py configs/glip/glip_t_swin-t_flickr30k.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/flickr30k_phrases.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# Boxes as the official evaluation takes them.
model = dict(test_cfg=dict(inclusive=True))
val_cfg = dict(type='mmengine.ValLoop')
