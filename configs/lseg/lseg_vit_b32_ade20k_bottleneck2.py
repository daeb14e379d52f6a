# 2 bottleneck blocks on the logits (paper table 4).
# python tools/train.py configs/lseg/lseg_vit_b32_ade20k_bottleneck2.py
_base_ = './lseg_vit_b32_ade20k.py'
model = dict(decode_head=dict(head_block=dict(kind='bottleneck', depth=2, activation='lrelu')))
