# Ablation: prompt 'a photo of a {}.', 85.98 with 16 clouds per class in the paper (big: 87.20; from memory).
#   python tools/train.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_prompt_photo.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

model = dict(head=dict(prompts='a photo of a {}.'))
