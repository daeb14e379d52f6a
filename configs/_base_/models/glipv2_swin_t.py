# GLIPv2-T as it is tested: GLIP-T. Leaves for training add its losses.
_base_ = './glip_swin_t.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
