# Early fusion: pixels attend to the words before they are compared with them.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_early_fusion.py
_base_ = './lseg_r18_mini.py'
model = dict(decode_head=dict(early_fusion=dict(width=64, num_heads=4)))
