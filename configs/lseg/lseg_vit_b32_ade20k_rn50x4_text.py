# ViT-B/32 image encoder, words encoded by CLIP RN50x4 (table 5: 79.88 pixAcc, 38.93 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_vit_b32_ade20k_rn50x4_text.py
_base_ = './lseg_vit_b32_ade20k.py'
model = dict(decode_head=dict(classifier=dict(text_encoder=dict(model='RN50x4-quickgelu'))))
