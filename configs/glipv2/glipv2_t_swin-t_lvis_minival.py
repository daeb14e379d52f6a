# GLIPv2-T, zero-shot on LVIS v1 minival: plain and fixed AP of 1203 classes in captions of 40. 29.0 AP (26.9
# without web captions) (paper; not measured here).
# Test: python tools/test.py configs/glipv2/glipv2_t_swin-t_lvis_minival.py CHECKPOINT
_base_ = '../glip/glip_t_swin-t_lvis_minival.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
