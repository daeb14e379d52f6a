# PointCLIP V2 zero-shot on ModelNet40, CLIP's RN50.
#   python tools/test.py configs/point_clip/point_clip_v2_rn50_modelnet40_zero_shot.py
_base_ = './point_clip_v2_vit_b16_modelnet40_zero_shot.py'

clip = dict(model='RN50-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
