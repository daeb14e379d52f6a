# One depthwise block on the logits (paper table 4 has the ablation with ViT-B/32).
# python tools/train.py configs/lseg/lseg_vit_l16_ade20k_depthwise.py
_base_ = './lseg_vit_l16_ade20k.py'
model = dict(decode_head=dict(head_block=dict(kind='depthwise', depth=1, activation='lrelu')))
