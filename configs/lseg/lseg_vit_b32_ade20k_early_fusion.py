# Early fusion: pixels attend to the words before they are compared with them (not in the paper).
# python tools/train.py configs/lseg/lseg_vit_b32_ade20k_early_fusion.py
_base_ = './lseg_vit_b32_ade20k.py'
model = dict(decode_head=dict(early_fusion=dict(width=256, num_heads=8)))
