# As lseg_vit_b16_ade20k_clip_init.py, and the image encoder is not trained; what reads it is. As in the official code
# its position embeddings are random ones, not CLIP's, and it has no norm in front of the blocks.
# python tools/train.py configs/lseg/lseg_vit_b16_ade20k_clip_fixed.py
_base_ = './lseg_vit_b16_ade20k_clip_init.py'
model = dict(backbone=dict(frozen=True))
