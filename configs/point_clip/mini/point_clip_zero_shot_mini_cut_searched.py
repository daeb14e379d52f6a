# Cut clouds, weights of the views searched on validation.
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_cut_searched.py
_base_ = './point_clip_zero_shot_mini_cut.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', choices='drop')
]
