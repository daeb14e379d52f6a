# Ablation: 1 view, 14.95 zero-shot in the paper (6: 20.18; from memory). Which views these are is ours
# (view_sets.py). The weights of the views are searched as for 6.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_1_view.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

model = dict(projector=dict(views='views1'))
