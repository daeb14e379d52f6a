# Weights of the six views searched on the validation split; a view can be dropped (all 4^6 combinations).
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_searched.py
_base_ = './point_clip_zero_shot_mini.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', choices='drop')
]
