# Ablation: 10 views, 14.91 zero-shot in the paper (6: 20.18; from memory). Coordinate ascent instead of 4^10
# combinations.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_10_views.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

model = dict(projector=dict(views='few_shot10'))
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', method='coordinates')
]
