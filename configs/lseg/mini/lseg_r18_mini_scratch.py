# The image encoder starts from random weights.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_scratch.py
_base_ = './lseg_r18_mini.py'
model = dict(backbone=dict(pretrained=None))
