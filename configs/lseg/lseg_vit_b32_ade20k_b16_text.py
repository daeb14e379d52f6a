# ViT-B/32 image encoder, words encoded by CLIP ViT-B-16 (table 5: 79.77 pixAcc, 38.69 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_vit_b32_ade20k_b16_text.py
_base_ = './lseg_vit_b32_ade20k.py'
model = dict(decode_head=dict(classifier=dict(text_encoder=dict(model='ViT-B-16-quickgelu'))))
