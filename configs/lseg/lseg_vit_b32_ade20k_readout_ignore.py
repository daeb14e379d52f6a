# Readout 'ignore' instead of 'project'.
# python tools/train.py configs/lseg/lseg_vit_b32_ade20k_readout_ignore.py
_base_ = './lseg_vit_b32_ade20k.py'
model = dict(decode_head=dict(reassemble=dict(readout='ignore')))
