# GLIP-T zero-shot on LVIS minival (paper table 2: APr/APc/APf/AP 20.8/21.4/31.0/26.0, fixed AP; not measured here).
# Test: python tools/test.py configs/glip/glip_t_swin-t_lvis_minival.py CHECKPOINT
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_lvis_minival.py',
    '../_base_/schedules/glip_test.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# Chunks of 40 classes, 300 detections of each, all kept; boxes as the official evaluation takes them.
model = dict(test_cfg=dict(chunk_size=40, max_per_img=300, max_total=-1, inclusive=True))
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False)]
val_cfg = dict(type='mmengine.ValLoop')
