# PointCLIP zero-shot on ModelNet40, CLIP's RN50x4. Not run here: neither the data nor the weights are there
# (docs/en/datasets.md; open_clip downloads OpenAI's at the first run).
#   python tools/test.py configs/point_clip/point_clip_rn50x4_modelnet40_zero_shot.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

clip = dict(model='RN50x4-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip), projector=dict(image_size=288))
