# The control of the search: weights are searched for the shuffled words.
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_shuffled_searched.py
_base_ = './point_clip_zero_shot_mini.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook', shuffle_seed=0),
    dict(type='mmclip.ViewWeightSearchHook', choices='drop')
]
