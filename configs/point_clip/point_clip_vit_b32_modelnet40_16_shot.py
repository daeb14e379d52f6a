# 16 clouds per class on ModelNet40, CLIP's ViT-B/32.
#   python tools/train.py configs/point_clip/point_clip_vit_b32_modelnet40_16_shot.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

clip = dict(model='ViT-B-32-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
