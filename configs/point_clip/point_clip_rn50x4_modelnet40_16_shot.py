# 16 clouds per class on ModelNet40, CLIP's RN50x4. Depth maps are resized to the 288 pixels of its tower.
#   python tools/train.py configs/point_clip/point_clip_rn50x4_modelnet40_16_shot.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

clip = dict(model='RN50x4-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip), projector=dict(image_size=288))
