# Ablation: prompt 'point cloud of a {}.', 18.68 zero-shot in the paper (depth map: 20.18; from memory).
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_prompt_point_cloud.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

model = dict(head=dict(prompts='point cloud of a {}.'))
