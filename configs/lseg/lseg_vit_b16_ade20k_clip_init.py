# The image encoder starts from the image tower of CLIP ViT-B/16 instead of ImageNet (the paper finds it
# worse).
# python tools/train.py configs/lseg/lseg_vit_b16_ade20k_clip_init.py
_base_ = './lseg_vit_b16_ade20k.py'
model = dict(
    backbone=dict(
        pretrained=dict(_delete_=True, model='ViT-B-16-quickgelu', pretrained='openai')))
