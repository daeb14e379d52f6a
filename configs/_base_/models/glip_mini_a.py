# GLIP (A) for MiniWorld: no fusion.
_base_ = './glip_mini.py'

model = dict(fusion=dict(fusion=None, text_layer=None), bbox_head=dict(fused_text=False))
