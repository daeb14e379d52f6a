# ViT-B/16 image encoder.
# python tools/train.py configs/lseg/lseg_vit_b16_ade20k.py
_base_ = './lseg_vit_l16_ade20k.py'
model = dict(
    backbone=dict(model='vit_base_patch16_384', out_indices=(2, 5, 8, 11), with_cp=False),
    decode_head=dict(
        in_channels=[768, 768, 768, 768],
        reassemble=dict(channels=[96, 192, 384, 768], patch_size=16)))
