# 16 clouds per class on ModelNet40, CLIP's RN50x16. Depth maps are resized to the 384 pixels of its tower.
#   python tools/train.py configs/point_clip/point_clip_rn50x16_modelnet40_16_shot.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

clip = dict(model='RN50x16-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip), projector=dict(image_size=384))
