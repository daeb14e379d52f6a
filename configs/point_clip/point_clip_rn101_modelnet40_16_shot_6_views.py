# Ablation: 6 views, 84.24 with 16 clouds per class in the paper (10: 87.20; from memory).
#   python tools/train.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_6_views.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

model = dict(projector=dict(views='zero_shot6'))
