# Weights from 0 on, so that the search can drop a view; ours.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_drop_views.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', choices='drop')
]
