# Ablation: prompt 'point cloud of a {}.', 86.06 with 16 clouds per class in the paper (big: 87.20; from
# memory).
#   python tools/train.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_prompt_point_cloud.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

model = dict(head=dict(prompts='point cloud of a {}.'))
