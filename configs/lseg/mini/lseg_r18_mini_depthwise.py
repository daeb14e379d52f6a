# A depthwise block on the logits.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_depthwise.py
_base_ = './lseg_r18_mini.py'
model = dict(decode_head=dict(head_block=dict(kind='depthwise', depth=1, activation='lrelu')))
