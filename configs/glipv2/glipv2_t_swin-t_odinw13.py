# GLIPv2-T, zero-shot on ODinW-13. Mean AP 48.5 (paper; not measured here).
# Test: python tools/test.py configs/glipv2/glipv2_t_swin-t_odinw13.py CHECKPOINT
_base_ = '../glip/glip_t_swin-t_odinw13.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
