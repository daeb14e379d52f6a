# Ablation: 12 views, 13.65 zero-shot in the paper (6: 20.18; from memory). Which views these are is ours
# (view_sets.py). Coordinate ascent instead of 4^12 combinations.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_12_views.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

model = dict(projector=dict(views='views12'))
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', method='coordinates')
]
