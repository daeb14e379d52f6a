# GLIPv2-T, zero-shot on ODinW-35. Mean AP 22.3, median 8.9 (paper; not measured here).
# Test: python tools/test.py configs/glipv2/glipv2_t_swin-t_odinw35.py CHECKPOINT
_base_ = '../glip/glip_t_swin-t_odinw35.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
