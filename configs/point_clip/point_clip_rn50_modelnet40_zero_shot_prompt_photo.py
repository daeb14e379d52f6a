# Ablation: prompt 'a photo of a {}.', 17.02 zero-shot in the paper (depth map: 20.18; from memory).
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_prompt_photo.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

model = dict(head=dict(prompts='a photo of a {}.'))
