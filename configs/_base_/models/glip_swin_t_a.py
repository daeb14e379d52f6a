# GLIP-T (A): the tower holds DyHead blocks only, and places are compared with the words as BERT gives them.
_base_ = './glip_swin_t.py'

model = dict(
    fusion=dict(fusion=None, text_layer=None, with_cp=False), bbox_head=dict(fused_text=False))
