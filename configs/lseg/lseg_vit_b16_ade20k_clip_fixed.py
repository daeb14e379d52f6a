# As lseg_vit_b16_ade20k_clip_init.py, and CLIP's tower stays as it is; what reads it is trained.
# python tools/train.py configs/lseg/lseg_vit_b16_ade20k_clip_fixed.py
_base_ = './lseg_vit_b16_ade20k_clip_init.py'
model = dict(backbone=dict(frozen=True))
